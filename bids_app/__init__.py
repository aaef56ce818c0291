"""normvol: normative volumetry of FreeSurfer brain volumes, as a BIDS-App."""

__version__ = "0.1.0"
