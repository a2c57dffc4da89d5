"""What is kept on disk: runs, their recording, checkpoints and artifacts."""
