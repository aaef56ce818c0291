"""FreeSurfer subject directories: find, check, read, run."""
