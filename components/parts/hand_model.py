"""A hand of four tendon-driven fingers above a table, with a valve or a loose object: MJCF from primitives.

The layout is that of a Yale OpenHand Model Q as an unfinished public simulation describes it: a palm that faces down
at 0.225 m, two fingers fixed at +-38 mm and two at +-22 mm on a base that turns by +-0.262 rad, each with a proximal
joint (0 to 2 rad, 62 mm link) and a distal one (0 to 1.24 rad). One tendon runs over both joints of a finger: joint
torque = R^T f - E q, with pulleys R of 10 and 8 mm and elastic bands E. The two fingers of the turning base share one
tendon, half of whose force each gets.

What is ours, because the numbers of that description do not balance (10 N on 10 mm cannot move a band of 6.25 N m/rad):
E is such that the full force of 10 N bends a free joint to 90 % of its range, fingers are damped by 0.008 N m s/rad
instead of 0.05 (so that one follows its tendon within 0.15 s, not 0.9), and the base turns with 0.5 N m instead of 10,
a hundred times what a finger holds. Link shapes, masses and friction are ours too: this is a new benchmark, no
reproduction.
"""

from __future__ import annotations

import math

PROXIMAL_RANGE, DISTAL_RANGE, BASE_RANGE = 2.0, 1.24, 0.262  # rad; base to either side
PROXIMAL_PULLEY, DISTAL_PULLEY = 0.010, 0.008  # m
FULL_FORCE = 10.0  # N on the tendon of one finger
REACH = 0.9  # share of its range to which full force bends a free joint
PROXIMAL_BAND = FULL_FORCE * PROXIMAL_PULLEY / (REACH * PROXIMAL_RANGE)  # N m/rad
DISTAL_BAND = FULL_FORCE * DISTAL_PULLEY / (REACH * DISTAL_RANGE)
BASE_TORQUE = 0.5  # N m
PHYSICS_RATE, SUBSTEPS = 960, 8  # Hz, steps of physics per step of control: 120 Hz
JOINTS = ("base", "front proximal", "front distal", "back proximal", "back distal", "left proximal", "left distal",
          "right proximal", "right distal")  # in the order of the model; front and back stand on the base
ACTIONS = ("base torque", "left tendon", "right tendon", "coupled tendon")
HEADS = ("three_lobe", "four_lobe", "round")

_PALM, _PROXIMAL, _DISTAL = 0.225, 0.062, 0.045  # m: height of the palm, lengths of the links
_SPLAY = 0.6  # rad by which an open finger leans outwards
_DAMPING = 0.008  # N m s/rad of a finger's joints
_SIDES = {"front": (0.0, -0.022, -math.pi / 2), "back": (0.0, 0.022, math.pi / 2),
          "left": (-0.038, 0.0, math.pi), "right": (0.038, 0.0, 0.0)}  # place and direction outwards
_VALVE, _LOBE, _WHEEL = 0.128, 0.025, 0.024  # m: height of the head, length of a lobe, radius of the round one
_HUB = 0.020  # m: deeper gaps hold two opposite fingers fast between four lobes, 30 degrees turn nothing then
OBJECT = (0.032, 0.032, 0.029)  # m, semi-axes of the loose object
OBJECT_START = 0.145  # m, height of its middle in the grasp
GRASP = (0.0, 0.285, 0.41, 0.285, 0.41, 0.465, 0.43, 0.465, 0.43)  # rad, joints around it, tendons at half force

_FRAME = """
<mujoco model="hand">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{timestep!r}" integrator="implicitfast" cone="elliptic" impratio="5" iterations="30"/>
  <visual><global offwidth="1280" offheight="960"/><map znear="0.02"/><headlight ambient=".35 .35 .35"/></visual>
  <asset>
    <texture name="table" type="2d" builtin="checker" rgb1=".82 .83 .85" rgb2=".72 .74 .77" width="256" height="256"/>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".93 .95 .97" rgb2=".70 .76 .84" width="64" height="64"/>
    <material name="table" texture="table" texrepeat="12 12"/>
  </asset>
  <default>
    <geom condim="4" friction="1.0 0.01 0.001" solref="0.006 1" contype="1" conaffinity="1"/>
    <joint solreflimit="0.005 1"/>
    <default class="link"><geom type="capsule" rgba=".22 .33 .55 1"/></default>
    <default class="tip"><geom type="capsule" rgba=".90 .55 .25 1"/></default>
    <default class="proximal"><joint type="hinge" axis="0 1 0" range="0 {proximal_range}" damping="{damping}"
      stiffness="{proximal_band!r}" armature="2e-5"/></default>
    <default class="distal"><joint type="hinge" axis="0 1 0" range="0 {distal_range}" damping="{damping}"
      stiffness="{distal_band!r}" armature="2e-5"/></default>
  </default>
  <worldbody>
    <light pos="0.3 -0.4 0.9" dir="-0.3 0.4 -0.8"/>
    <camera name="side" pos="0.24 -0.27 0.22" xyaxes="0.748 0.664 0 -0.161 0.181 0.971" fovy="36"/>
    <geom name="floor" type="plane" size="0.5 0.5 0.05" material="table"/>
    <body name="palm" pos="0 0 {palm}">
      <geom type="cylinder" size="0.05 0.006" pos="0 0 0.014" rgba=".35 .36 .40 1" mass="0.2"/>
      <body name="base" pos="0 0 0">
        <inertial pos="0 0 0" mass="0.05" diaginertia="3e-5 3e-5 4e-5"/>
        <joint name="base" type="hinge" axis="0 0 1" range="-{base_range} {base_range}" damping="0.05" armature="2e-4"/>
        <geom type="cylinder" size="0.03 0.004" pos="0 0 0.004" rgba=".50 .52 .57 1" contype="0" conaffinity="0"
          mass="0"/>
        {front}
        {back}
      </body>
      {left}
      {right}
    </body>
    {task}
  </worldbody>
  <tendon>
    <fixed name="left"><joint joint="left proximal" coef="{proximal_pulley}"/>
      <joint joint="left distal" coef="{distal_pulley}"/></fixed>
    <fixed name="right"><joint joint="right proximal" coef="{proximal_pulley}"/>
      <joint joint="right distal" coef="{distal_pulley}"/></fixed>
    <fixed name="coupled">
      <joint joint="front proximal" coef="{half_proximal}"/><joint joint="front distal" coef="{half_distal}"/>
      <joint joint="back proximal" coef="{half_proximal}"/><joint joint="back distal" coef="{half_distal}"/></fixed>
  </tendon>
  <actuator>
    <motor name="base torque" joint="base" ctrlrange="-{base_torque} {base_torque}"/>
    <motor name="left tendon" tendon="left" ctrlrange="0 {full_force}"/>
    <motor name="right tendon" tendon="right" ctrlrange="0 {full_force}"/>
    <motor name="coupled tendon" tendon="coupled" ctrlrange="0 {both_forces}"/>
  </actuator>
</mujoco>
"""

_FINGER = """<body name="{name} proximal" pos="{x:.4f} {y:.4f} 0" euler="0 0 {turn:.6f}">
      <body name="{name} root" euler="0 -{splay} 0">
        <joint name="{name} proximal" class="proximal"/>
        <geom class="link" name="{name} proximal" fromto="0 0 0 0 0 -{proximal}" size="0.008" mass="0.010"/>
        <body name="{name} distal" pos="0 0 -{proximal}">
          <joint name="{name} distal" class="distal"/>
          <geom class="tip" name="{name} distal" fromto="0 0 -0.004 0 0 -{distal}" size="0.0075" mass="0.006"/>
        </body>
      </body>
    </body>"""

_HEAD = """<geom type="cylinder" size="0.007 {half}" pos="0 0 {half}" contype="0" conaffinity="0" rgba=".5 .5 .5 1"/>
    <body name="valve" pos="0 0 {height}">
      <joint name="valve" type="hinge" axis="0 0 1" range="-31 31" damping="0.002" frictionloss="0.002"
        armature="1e-5"/>
      {head}
    </body>"""

_OBJECT = """<body name="object" pos="0 0 {start}">
      <freejoint name="object"/>
      <geom name="object" type="ellipsoid" size="{size}" mass="0.05" friction="1.2 0.02 0.001" rgba=".75 .16 .16 1"/>
      <geom type="ellipsoid" size="0.008 0.003 0.003" pos="0.012 0 0.028" mass="0" contype="0" conaffinity="0"
        rgba=".25 .55 .2 1"/>
    </body>"""  # the leaf shows how far it has turned


def bare() -> str:
    """Return the MJCF of a hand above an empty table."""
    return _with("")


def valve(head: str) -> str:
    """Return the MJCF of a hand above a valve with one of the heads: three_lobe, four_lobe or round."""
    hub = f'<geom type="cylinder" size="{_HUB} 0.011" mass="0.02" rgba=".3 .6 .4 1"/>'
    if head == "round":
        parts = [f'<geom type="cylinder" size="{_WHEEL} 0.011" mass="0.06" rgba=".3 .6 .4 1"/>',
                 f'<geom type="box" size="{_WHEEL / 2} 0.002 0.001" pos="{_WHEEL / 2} 0 0.011" mass="0" contype="0" '
                 'conaffinity="0" rgba="1 1 1 1"/>']  # a mark, to see it turn
    else:
        lobes = {"three_lobe": 3, "four_lobe": 4}[head]
        ends = [(_LOBE * math.cos(2 * math.pi * i / lobes), _LOBE * math.sin(2 * math.pi * i / lobes))
                for i in range(lobes)]
        parts = [hub, *(f'<geom type="capsule" size="0.008" fromto="0 0 0 {x:.6f} {y:.6f} 0" mass="0.015" '
                        f'rgba="{".9 .8 .3" if i == 0 else ".3 .6 .4"} 1"/>' for i, (x, y) in enumerate(ends))]
    return _with(_HEAD.format(half=_VALVE / 2, height=_VALVE, head="\n      ".join(parts)))


def loose_object() -> str:
    """Return the MJCF of a hand with a loose object, shaped like a flat apple of 50 g, between its fingers."""
    return _with(_OBJECT.format(start=OBJECT_START, size=" ".join(map(str, OBJECT))))


def _with(task: str) -> str:
    fingers = {name: _FINGER.format(name=name, x=x, y=y, turn=turn, splay=_SPLAY, proximal=_PROXIMAL, distal=_DISTAL)
               for name, (x, y, turn) in _SIDES.items()}
    return _FRAME.format(
        timestep=1 / PHYSICS_RATE, proximal_range=PROXIMAL_RANGE, distal_range=DISTAL_RANGE, base_range=BASE_RANGE,
        damping=_DAMPING, proximal_band=PROXIMAL_BAND, distal_band=DISTAL_BAND, palm=_PALM,
        proximal_pulley=PROXIMAL_PULLEY, distal_pulley=DISTAL_PULLEY, half_proximal=PROXIMAL_PULLEY / 2,
        half_distal=DISTAL_PULLEY / 2, base_torque=BASE_TORQUE, full_force=FULL_FORCE, both_forces=2 * FULL_FORCE,
        task=task, **fingers)
