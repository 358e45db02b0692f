"""What people write to the help desk of an invented maker of kitchen machines and their app, in English.

Words in braces are filled from a ticket's facts (text.py): product, order, city, version, amount, day.
`TINY`, `ODD` and `LOG_LINES` are taken as they stand, since their braces are their own.
"""
# ruff: noqa: RUF001  -- ODD is odd on purpose

from dataclasses import dataclass

__all__ = ["ASIDES", "CLOSINGS", "GREETINGS", "LOG_LINES", "ODD", "PRODUCTS", "TINY", "TOPICS", "Topic"]


@dataclass(frozen=True, slots=True)
class Topic:
    tag: str
    title: str
    subjects: tuple[str, ...]
    sentences: tuple[str, ...]


# name, tag
PRODUCTS = (
    ("Aurora kettle", "product_aurora_kettle"),
    ("Brisa grinder", "product_brisa_grinder"),
    ("Cobalt espresso", "product_cobalt_espresso"),
    ("Dune toaster", "product_dune_toaster"),
    ("Ember oven", "product_ember_oven"),
    ("Fjord freezer", "product_fjord_freezer"),
    ("Grove app", "product_grove_app"),
    ("Halo scale", "product_halo_scale"),
)

TOPICS = (
    Topic(
        "delivery",
        "Delivery",
        (
            "Where is order {order}?",
            "{product} still not delivered",
            "Delivery to {city} late again",
            "Tracking for {order} has not moved",
        ),
        (
            "I ordered a {product} and the tracking page has shown the same depot since {day}.",
            "The driver left a card, yet nobody rang the bell and the shop named on it knows of no parcel.",
            "We need order {order} in {city} before the weekend, otherwise please stop the shipment.",
            "The carrier says that the label was printed but the parcel was never handed over.",
            "Two of the three boxes came on {day}; the third one is missing.",
        ),
    ),
    Topic(
        "damaged",
        "Damaged parcel",
        (
            "{product} arrived broken",
            "Damaged box, order {order}",
            "Cracked glass on my new {product}",
            "Parcel was soaked when it came",
        ),
        (
            "One corner of the box was crushed and the lid of the {product} is cracked.",
            "I took photographs before unpacking and can send them at once.",
            "The inner packing was missing altogether, the machine lay loose in the carton.",
            "A neighbour accepted the parcel, so the damage could not be noted at the door.",
            "Please send a replacement for order {order} rather than a spare lid.",
        ),
    ),
    Topic(
        "refund",
        "Refund",
        (
            "Refund for {order} not received",
            "Please return {amount} to my card",
            "Charged twice for one {product}",
            "Question about my refund",
        ),
        (
            "I sent the {product} back on {day} and have the receipt of the post office.",
            "My bank sees two payments of {amount}, only one of them belongs to an order.",
            "Your mail promised the money within a week; that was three weeks ago.",
            "The card I paid with has expired, so please use bank transfer instead.",
            "The amount returned is smaller than {amount} because the postage was kept.",
        ),
    ),
    Topic(
        "invoice",
        "Invoice",
        (
            "Invoice for {order} with our tax number",
            "Wrong address on the invoice",
            "Copy of the invoice from {day}",
            "Invoice total does not match {amount}",
        ),
        (
            "Our bookkeeping needs the invoice made out to the company and not to me.",
            "The street is right but the city should read {city}.",
            "The total on the PDF is {amount}, while the order page says something else.",
            "Could all invoices of this quarter be sent in one file?",
            "The download link answers with an empty page in every browser that we tried.",
        ),
    ),
    Topic(
        "login",
        "Sign-in trouble",
        (
            "Cannot sign in to the Grove app",
            "Password mail never arrives",
            "Locked out after changing my phone",
            "Code for signing in is refused",
        ),
        (
            "The reset mail does not arrive, neither in the inbox nor among the junk.",
            "After the update to {version} the app asks for a code that I have never been given.",
            "I changed my number on {day} and the codes still go to the old phone.",
            "It says that the account is locked, but not for how long or why.",
            "My colleague in {city} can sign in with the same settings without trouble.",
        ),
    ),
    Topic(
        "app_crash",
        "App crash",
        (
            "App closes when I open recipes",
            "Version {version} crashes at start",
            "Blank screen since the update",
            "Grove app freezes on the timer",
        ),
        (
            "Since {version} the app shows a blank screen and closes after a few seconds.",
            "It happens each time I scroll to the end of the recipe list.",
            "Removing and installing it again helped until {day}, then it was back.",
            "My tablet runs the same version without a problem, only the phone is affected.",
            "I have sent the crash report from the settings page under the name {order}.",
        ),
    ),
    Topic(
        "pairing",
        "Pairing and wireless",
        (
            "{product} does not pair any more",
            "Lost connection to the {product}",
            "Machine offline in the app",
            "Pairing stops at 80 percent",
        ),
        (
            "The light blinks blue for a minute and then the app says that no device was found.",
            "We changed the router on {day} and the {product} still looks for the old network.",
            "It works beside the router but not in the kitchen, three metres further.",
            "The firmware page says {version}, the app says that it is out of date.",
            "Holding both buttons for ten seconds does not clear the pairing as the manual says.",
        ),
    ),
    Topic(
        "warranty",
        "Warranty repair",
        (
            "Repair of a {product} under warranty",
            "{product} leaks after four months",
            "Strange noise from the {product}",
            "When does my repair come back?",
        ),
        (
            "The {product} was bought in {city} and is less than a year old.",
            "Water collects under the base within an hour although the tank itself is tight.",
            "It hums loudly for a moment, stops, and needs to be unplugged before it starts again.",
            "The workshop has had it since {day} and does not answer the telephone.",
            "I would rather pay {amount} for a new part than wait another month.",
        ),
    ),
    Topic(
        "spare_parts",
        "Spare parts",
        (
            "Spare seal for the {product}",
            "Is the old filter still sold?",
            "Part number for the {product} hinge",
            "Missing screw in the box",
        ),
        (
            "The rubber seal of the {product} has gone hard and I cannot find it in the shop.",
            "Which of the two filters fits the model that was sold in {city} two years ago?",
            "The drawing in the manual calls the part 14, the shop knows only names.",
            "One screw was missing from order {order}; the size is not written anywhere.",
            "A packet of four would do, we have several of these machines in the office.",
        ),
    ),
    Topic(
        "subscription",
        "Subscription",
        (
            "Please cancel my recipe plan",
            "Subscription renewed against my wish",
            "Change plan from month to year",
            "Bean subscription: pause in summer",
        ),
        (
            "I cancelled in the app on {day} and was charged {amount} all the same.",
            "The page for changing the plan shows only the one that I already have.",
            "We are away for two months and would like to pause the deliveries to {city}.",
            "Does the yearly plan include the recipes for the {product}?",
            "There is no mail that confirms the end of the subscription, please send one.",
        ),
    ),
    Topic(
        "integration",
        "Interface and webhooks",
        (
            "Webhook calls stop at midnight",
            "Interface answers 409 on retry",
            "Order export lacks {order}",
            "Signature check fails since {version}",
        ),
        (
            "Our system receives no calls between midnight and one, then all of them at once.",
            "A retry with the same key is answered with 409 and no body.",
            "The export of {day} lacks order {order}, which the shop page shows as paid.",
            "Since {version} the signature header is written in capitals, which our proxy drops.",
            "We poll every five minutes from two addresses in {city}; is there a limit that we should know?",
        ),
    ),
    Topic(
        "account_data",
        "Account data",
        (
            "New address in {city}",
            "Two accounts for one person",
            "Please delete my data",
            "Change of the company name",
        ),
        (
            "I have moved to {city}; please use the new address for everything that is open.",
            "By mistake I have two accounts, the points are on the one and the orders on the other.",
            "Please delete the older account and confirm this in writing.",
            "Our company has a new name since {day}, the tax number stays the same.",
            "The form refuses the house number because it contains a letter.",
        ),
    ),
    Topic(
        "feature_request",
        "Suggestion",
        (
            "Idea: timer for the {product}",
            "Could the app show weights in ounces?",
            "Dark screen for the kitchen at night",
            "Request: quieter signal",
        ),
        (
            "It would help a lot if the {product} could be started by the app at a given time.",
            "The signal at the end is too loud for a small flat; one short tone would be enough.",
            "Everybody in the office in {city} asks for a list of who filled the tank last.",
            "A dark screen would be kinder to the eyes in the early morning.",
            "I know that {version} has just come out, so there is no hurry.",
        ),
    ),
    Topic(
        "outage",
        "Outage",
        (
            "Nothing works since this morning",
            "Shop page down in {city}",
            "All machines offline",
            "Recipes do not load for anyone",
        ),
        (
            "Since about eight every machine in the building is shown as offline.",
            "The status page is green, yet no recipe loads for anyone in {city}.",
            "Payments fail with the words try again later, order {order} was lost that way.",
            "Other pages load at once, so it is not our line.",
            "It came back for ten minutes on {day} and went away again.",
        ),
    ),
)

GREETINGS = ("Hello,", "Hi there,", "Good morning,", "Dear team,", "Hello support,", "Hi all,")

CLOSINGS = (
    "Thank you",
    "Kind regards",
    "Many thanks in advance",
    "Best wishes",
    "Thanks, and have a good day",
    "Looking forward to your answer",
)

ASIDES = (
    "This is the second time that I write about it.",
    "The chat told me to use this form instead.",
    "You can reach me in the afternoon, best after four.",
    "I have attached two pictures.",
    "Nothing else was changed in the meantime.",
    "My reference for this is {order}.",
    "If you need anything further from me, please ask for all of it at once.",
    "A short answer is enough.",
    "The manual is silent about this.",
    "I have been a customer for many years and was always content until now.",
    "Please do not telephone, I am at work and cannot take calls.",
    "It is not urgent, but it should not be forgotten either.",
    "The same happened to a friend of mine with another model.",
    "Your colleague was very friendly, the problem is still there though.",
    "I tried it with a different socket, a different cable and a different phone.",
)

TINY = (
    "help",
    "Hi",
    "???",
    "see subject",
    "any news?",
    ".",
    "thx",
    "👍",
    "call me please",
    "no",
    "test",
    "ok 🙂",
)

# Text that has tripped readers of exports: quotes, backslashes, markup, braces, joined emoji, right-to-left.
ODD = (
    "The screen says \"Error: device not 'ready'\" and nothing else.",
    "Log folder: C:\\Users\\kitchen\\AppData\\new\\today.log",
    "<p>Copied from your page: <b>status</b> &amp; <i>total</i></p><br/>\n<script>void 0</script>",
    '{"event": "brew.done", "ok": false, "path": "\\\\host\\share", "note": "a \\"quoted\\" word"}',
    "We are not amused 😤☕️💥 (the children 👩\u200d👧\u200d👦 even less)",
    "a\tb\tc\r\n1\t2\t3\r\n",
    "name;amount;note\n\"Smith; Jones\";1.234,50;'plain'\n",
    "Accents apart: e\u0301 n\u0303 o\u0308, a soft\u00adhyphen, a fixed\u00a0space, a line\u2028break.",
    "SELECT name FROM users WHERE name = 'O''Brien'; -- {{ticket.id}} {{dc.hello}} %s %(x)s $HOME `ls`",
    "Ticket title on my phone: \u202bשלום עולם\u202c — mixed 123 — مرحبا",
    "Math: 3 < 5 && 7 > 2, 20 °C ± 1, ½ cup, №7, ∑xᵢ, 𝒻(x) 🧪",
    "-----\n> quoted reply\n>> older reply\n-----\n",
)

# level and message of a log line; text.py adds the clock and a number
LOG_LINES = (
    "INFO  heater: target 94.0 reached",
    "INFO  pump: pressure 9.1 bar, flow 2.2 ml/s",
    "WARN  radio: signal weak, retrying in 5 s",
    "DEBUG cloud: sent 412 bytes, answer 202",
    "ERROR cloud: answer 503, giving up after 3 tries",
    "INFO  grinder: 18.2 g in 11.4 s",
    "WARN  tank: level below 15 %",
    "DEBUG clock: drift -0.3 s corrected",
    'ERROR store: cannot open "C:\\data\\recipes.db"',
)
