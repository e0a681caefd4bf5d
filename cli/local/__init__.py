"""The local run: the real entry point in front of an embedded emulator, with faults on demand."""
