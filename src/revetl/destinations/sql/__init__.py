"""Tables of a SQL database as a destination: `type: postgres` and `type: mysql` (which is MariaDB too).

dialect     what a database is asked for, and its failures by what to do about them
tables      what a table is made of, as its catalogue says
values      a value as a column keeps it, or why it can't; the form in which two values are compared
writing     one batch inside one transaction: rows found, inserted, changed, deleted; a refused one costs no other
writers     sessions with their marks: whether a lost COMMIT took place
connector   the destination: threads, attempts, what a failure means for the engine
postgres    through psycopg
mysql       through PyMySQL
"""
