"""Word lists for the source generator. Everything made of them is fictional; company domains end in `.example`."""

# ruff: noqa: SIM905 (word lists are read and edited as prose)

from __future__ import annotations

# First name → what friends and forms call the same person.
FIRST_NAMES: dict[str, tuple[str, ...]] = {
    name: tuple(rest)
    for name, *rest in (
        line.split()
        for line in """
James Jim Jimmy Jamie
Robert Bob Rob Bobby
William Bill Will Billy
Michael Mike Mick
Richard Rick Dick
Thomas Tom Tommy
Christopher Chris
Daniel Dan Danny
Matthew Matt
Anthony Tony
Joseph Joe Joey
Charles Charlie Chuck
Steven Steve
Andrew Andy Drew
Kenneth Ken Kenny
Joshua Josh
Edward Ed Eddie Ted
Ronald Ron Ronnie
Timothy Tim
Jeffrey Jeff
Gregory Greg
Benjamin Ben
Samuel Sam
Patrick Pat Paddy
Alexander Alex Sasha
Jonathan Jon
Nicholas Nick Nicky
Stephen Steph
Zachary Zach
Nathaniel Nate Nat
Frederick Fred Freddie
Leonard Len Lenny
Raymond Ray
Lawrence Larry
Douglas Doug
Peter Pete
Philip Phil
Vincent Vince
Theodore Theo Teddy
Elizabeth Liz Beth Lizzie Betsy
Jennifer Jen Jenny
Patricia Trish Patty
Katherine Kate Katie Kathy
Margaret Maggie Meg Peggy
Susan Sue Susie
Jessica Jess
Deborah Deb Debbie
Rebecca Becky Becca
Kimberly Kim
Christina Tina Chrissy
Victoria Vicky Tori
Samantha Sammy
Alexandra Lexi
Abigail Abby Gail
Amanda Mandy
Barbara Barb Babs
Catherine Cathy
Cynthia Cindy
Dorothy Dot Dottie
Jacqueline Jackie
Judith Judy
Pamela Pam
Stephanie Steffi
Theresa Terri Tess
Veronica Ronni
Angela Angie
Gabriella Gabi Ella
Isabella Izzy
Natalie Nattie
Valerie Val
Maria
Anna
Laura
Sofia
Elena
Clara
Ingrid
Astrid
Yuki
Mei
Priya
Aisha
Fatima
Leila
Chiara
Giulia
Camille
Amelie
Hannah
Grace
Emma
Olivia
Nina
Vera
Ines
Carmen
Lucia
Freya
Maya
Zoe
Ruth
Wendy
Heidi
Greta
David
Paul
Mark
George
Kevin
Brian
Eric
Adam
Henry
Oscar
Victor
Hugo
Lars
Sven
Bjorn
Klaus
Dieter
Stefan
Marco
Luca
Matteo
Pablo
Diego
Javier
Carlos
Rafael
Omar
Hassan
Ravi
Arjun
Vikram
Kenji
Hiroshi
Wei
Jun
Minh
Felix
Jonas
Emil
Noah
Liam
Ethan
Logan
Caleb
Isaac
Aaron
Simon
Julian
Adrian
Marcus
Trevor
Craig
Neil
Ian
Sean
Owen
Rhys
Gareth
""".strip().splitlines()
    )
}

LAST_NAMES = tuple(
    """
Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez Wilson Anderson
Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker Young
Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts
Gomez Phillips Evans Turner Diaz Parker Cruz Edwards Collins Reyes Stewart Morris Morales Murphy Cook Rogers Gutierrez
Ortiz Morgan Cooper Peterson Bailey Reed Kelly Howard Ramos Kim Cox Ward Richardson Watson Brooks Chavez Wood Bennett
Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders Patel Myers Long Ross Foster Jimenez Powell Jenkins Perry
Russell Sullivan Bell Coleman Butler Henderson Barnes Gonzales Fisher Vasquez Simmons Romero Jordan Patterson Alexander
Hamilton Graham Reynolds Griffin Wallace Moreno West Cole Hayes Bryant Herrera Gibson Ellis Tran Medina Aguilar Stevens
Murray Ford Castro Marshall Owens Harrison Fernandez McDonald Woods Washington Kennedy Wells Vargas Henry Chen Freeman
Webb Tucker Guzman Burns Crawford Olson Simpson Porter Hunter Gordon Mendez Silva Shaw Snyder Mason Dixon Munoz Hunt
Hicks Holmes Palmer Wagner Black Robertson Boyd Rose Stone Salazar Fox Warren Mills Meyer Rice Schmidt Garza Daniels
Ferguson Nichols Stephens Soto Weaver Ryan Gardner Payne Grant Dunn Kelley Spencer Hawkins Arnold Pierce Hansen Peters
Santos Hart Bradley Knight Elliott Cunningham Duncan Armstrong Hudson Carroll Lane Riley Andrews Alvarado Ray Delgado
Berry Perkins Hoffman Johnston Matthews Pena Richards Contreras Willis Carpenter Lawrence Sandoval Guerrero George
Chapman Rios Estrada Ortega Watkins Greene Nunez Wheeler Valdez Harper Burke Larson Santiago Maldonado Morrison Franklin
Carlson Austin Dominguez Carr Lawson Jacobs OBrien Lynch Singh Vega Bishop Montgomery Oliver Jensen Harvey Williamson
Gilbert Dean Sims Espinoza Howell Li Wong Reid Hanson Le McCoy Garrett Burton Fuller Wang Weber Welch Rojas Lucas
Marquez Fields Park Yang Little Banks Padilla Day Walsh Bowman Schultz Luna Fowler Mejia Novak Kowalski Nowak Lindqvist
Johansson Eriksson Nilsson Berg Haugen Dahl Muller Schneider Fischer Becker Schulz Koch Bauer Richter Wolf Neumann
Schwarz Zimmermann Braun Hofmann Hartmann Lange Krause Lehmann Dubois Moreau Laurent Lefebvre Leroy Roux Fournier
Girard Bonnet Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Conti Costa Giordano Rizzo
Tanaka Suzuki Takahashi Watanabe Yamamoto Nakamura Kobayashi Sharma Verma Gupta Mehta Reddy Iyer Khan Ahmed Hussain
""".split()
)

COMPANY_STARTS = tuple(
    """
Amber Arbor Argent Atlas Azure Beacon Birch Blue Bold Bright Bridge Cedar Cinder Clear Cobalt Copper Coral Crest Crown
Delta Drift Eagle East Echo Elm Ember Ever Fair Falcon Fern Field Flint Fox Frost Gold Granite Green Grey Harbor Haven
Hazel Heron High Hollow Iron Ivory Jade Juniper Keen Key Lake Lark Laurel Light Lime Lumen Maple Marble Mason Merit Mill
Moss North Nova Oak Ocean Onyx Opal Orchard Osprey Pearl Pine Pioneer Quartz Quill Rapid Raven Red Ridge River Rock
Rose Sable Sage Silver Sky Slate Solar South Spring Stone Summit Swift Thistle Timber Umber Vale Velvet West Willow
""".split()
)
COMPANY_ENDS = tuple(
    """
bank bay beam berg bloom bridge brook castle cliff cloud crest dale den fall field fire ford forge gate glen grove guard
harbor haven hill hold house land leaf light line lock mark mere mill mont moor path peak point port reach rise rock
root run shore side spark spring star stead stone stream tide tower trail vale view ware water way well wick wind wood
works yard
""".split()
)
COMPANY_KINDS = tuple(
    """
Analytics Labs Systems Software Cloud Data Health Logistics Energy Media Finance Capital Foods Robotics Networks
Security Motors Materials Biotech Insurance Retail Travel Education Consulting Design Studios Instruments Partners
Digital Interactive Pharma Telecom
""".split()
)
COMPANY_SUFFIXES = (
    "Inc",
    "Inc.",
    "LLC",
    "Ltd",
    "Ltd.",
    "Limited",
    "GmbH",
    "Corp",
    "Corp.",
    "Corporation",
    "Co.",
    "S.A.",
)

# LinkedIn's industry names, in the lower case in which data vendors give them.
INDUSTRIES = (
    "computer software",
    "information technology and services",
    "internet",
    "financial services",
    "banking",
    "insurance",
    "hospital & health care",
    "biotechnology",
    "pharmaceuticals",
    "medical devices",
    "retail",
    "consumer goods",
    "logistics and supply chain",
    "real estate",
    "construction",
    "automotive",
    "telecommunications",
    "education management",
    "marketing and advertising",
    "management consulting",
    "renewables & environment",
    "food & beverages",
    "hospitality",
    "computer & network security",
    "machinery",
    "law practice",
    "accounting",
    "utilities",
)

# (city, country, calling code)
CITIES = (
    ("New York", "United States", "1"),
    ("San Francisco", "United States", "1"),
    ("Austin", "United States", "1"),
    ("Denver", "United States", "1"),
    ("Chicago", "United States", "1"),
    ("Boston", "United States", "1"),
    ("Seattle", "United States", "1"),
    ("Atlanta", "United States", "1"),
    ("Portland", "United States", "1"),
    ("Toronto", "Canada", "1"),
    ("Vancouver", "Canada", "1"),
    ("London", "United Kingdom", "44"),
    ("Manchester", "United Kingdom", "44"),
    ("Edinburgh", "United Kingdom", "44"),
    ("Dublin", "Ireland", "353"),
    ("Berlin", "Germany", "49"),
    ("Munich", "Germany", "49"),
    ("Hamburg", "Germany", "49"),
    ("Paris", "France", "33"),
    ("Lyon", "France", "33"),
    ("Amsterdam", "Netherlands", "31"),
    ("Stockholm", "Sweden", "46"),
    ("Oslo", "Norway", "47"),
    ("Copenhagen", "Denmark", "45"),
    ("Madrid", "Spain", "34"),
    ("Milan", "Italy", "39"),
    ("Zurich", "Switzerland", "41"),
    ("Sydney", "Australia", "61"),
    ("Melbourne", "Australia", "61"),
    ("Singapore", "Singapore", "65"),
    ("Tokyo", "Japan", "81"),
    ("Bengaluru", "India", "91"),
)

# (title, seniority). Seniority in the levels that data vendors share.
JOB_TITLES = (
    ("Software Engineer", "entry"),
    ("Senior Software Engineer", "senior"),
    ("Staff Engineer", "senior"),
    ("Engineering Manager", "manager"),
    ("Director of Engineering", "director"),
    ("VP Engineering", "vp"),
    ("Chief Technology Officer", "cxo"),
    ("Data Analyst", "entry"),
    ("Analytics Engineer", "senior"),
    ("Head of Data", "director"),
    ("Marketing Manager", "manager"),
    ("Marketing Operations Specialist", "entry"),
    ("Director of Marketing", "director"),
    ("VP Marketing", "vp"),
    ("Chief Marketing Officer", "cxo"),
    ("Account Executive", "entry"),
    ("Senior Account Executive", "senior"),
    ("Sales Operations Manager", "manager"),
    ("Revenue Operations Lead", "senior"),
    ("VP Sales", "vp"),
    ("Chief Revenue Officer", "cxo"),
    ("Customer Success Manager", "manager"),
    ("Support Engineer", "entry"),
    ("Head of Support", "director"),
    ("Accountant", "entry"),
    ("Finance Manager", "manager"),
    ("Chief Financial Officer", "cxo"),
    ("Procurement Manager", "manager"),
    ("IT Administrator", "entry"),
    ("Product Manager", "manager"),
    ("Chief Executive Officer", "cxo"),
    ("Founder", "owner"),
)

SHARED_INBOXES = ("info", "billing", "accounts", "office", "support", "sales", "finance", "admin", "frontdesk")
FREE_DOMAINS = ("gmail.com", "outlook.com", "yahoo.com", "hotmail.com", "icloud.com")
TICKET_SUBJECTS = (
    "Cannot log in",
    "Invoice shows the wrong address",
    "Export is slow",
    "How do I add a seat?",
    "API returns 500",
    "Feature request: dark mode",
    "SSO set-up",
    "Data missing since Monday",
)
