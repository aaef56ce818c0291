"""The one table of exit codes (also in docs/usage.md)."""

OK = 0
FAILED = 1
USAGE = 2
INPUT = 3
OMISSIONS = 4
INTERRUPTED = 130

MEANING = {
    OK: "everything asked for was done",
    FAILED: "at least one scan failed unexpectedly; the others were finished, crash files are in the output folder",
    USAGE: "the command line or configuration file asks for something impossible; nothing was done",
    INPUT: "the input as a whole cannot be used (not BIDS, no scans, damaged model); nothing was done",
    OMISSIONS: "finished with omissions: some scans were left out, each listed with its reason",
    INTERRUPTED: "stopped by the user or the scheduler; a second run continues",
}
