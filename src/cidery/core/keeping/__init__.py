"""What is kept and what goes: pins, announcing, collecting garbage."""
