"""A review: pairs of records that a person judges, drawn so that the answers say how good all clusters are."""
