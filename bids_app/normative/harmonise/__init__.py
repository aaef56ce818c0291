"""Site effects: ComBat, longitudinal ComBat, site adaptation."""
