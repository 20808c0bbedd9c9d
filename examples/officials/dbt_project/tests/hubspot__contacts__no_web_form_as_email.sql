-- What reaches a destination as an email has one @ and no path.
select email
from {{ ref('hubspot__contacts') }}
where email like '%/%' or email not like '%_@_%._%' or email like '%@%@%'
