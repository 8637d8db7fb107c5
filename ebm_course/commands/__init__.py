"""The commands of ``python -m ebm_course``, one file each."""
