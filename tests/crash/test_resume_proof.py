"""The resume and repetition proofs with few counts."""

from crash.prove_resume import prove_repetition, prove_resume


def test_a_stopped_loop_goes_on_to_the_last_bit() -> None:
    assert prove_resume(stops=1, ticks=110)["stops"] == 5


def test_order_names_hash_seed_and_threads_change_nothing() -> None:
    assert prove_repetition(ticks=60)["holds"]
