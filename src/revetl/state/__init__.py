"""The tables in the schema `revetl` of the warehouse that two or more jobs share. Decides nothing."""
