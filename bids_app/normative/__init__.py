"""The normative model: training, scoring, harmonisation, site adaptation, model files."""
