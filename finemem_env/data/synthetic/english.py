"""English sentences of the generators."""

from __future__ import annotations

from finemem_env.data.synthetic.grammar import EventForm, Language, Noise, relations

_RELATIONS = relations(
    locker=(
        "The locker code of {p} is {v}.",
        "What is the locker code of {p}?",
        "Which code opens the locker of {p}?",
        "Whose locker code is {v}?",
    ),
    key=(
        "{p} keeps the spare key in {v}.",
        "Where does {p} keep the spare key?",
        "In which place is the spare key of {p}?",
        "Who keeps the spare key in {v}?",
    ),
    home=(
        "The home town of {p} is {v}.",
        "What is the home town of {p}?",
        "Which town is home to {p}?",
        "Whose home town is {v}?",
    ),
    boat=(
        "{p} owns a boat named {v}.",
        "Which boat does {p} own?",
        "How is the boat of {p} named?",
        "Who owns a boat named {v}?",
    ),
    badge=(
        "The badge number of {p} is {v}.",
        "What is the badge number of {p}?",
        "Which number is on the badge of {p}?",
        "Whose badge number is {v}?",
    ),
    workshop=(
        "{p} rents a workshop in {v}.",
        "Where does {p} rent a workshop?",
        "In which town is the workshop of {p}?",
        "Who rents a workshop in {v}?",
    ),
    horse=(
        "The horse of {p} is called {v}.",
        "What is the horse of {p} called?",
        "Which name does the horse of {p} have?",
        "Whose horse is called {v}?",
    ),
    dialect=(
        "{p} teaches the {v} dialect.",
        "Which dialect does {p} teach?",
        "What dialect is taught by {p}?",
        "Who teaches the {v} dialect?",
    ),
    account=(
        "The account number of {p} is {v}.",
        "What is the account number of {p}?",
        "Which number has the account of {p}?",
        "Whose account number is {v}?",
    ),
    cart=(
        "{p} parked the cart in {v}.",
        "Where has {p} parked the cart?",
        "In which place is the cart of {p}?",
        "Who parked the cart in {v}?",
    ),
)
_COUNT = EventForm(
    "{p} {d}{tail}.",
    "Tally: {p} {d} {n}.",
    "How many times has {p} {d}?",
    (
        "So far, how many times has {p} {d}?",
        "Up to now, what is the number of times {p} has {d}?",
    ),
)
_ORDER = EventForm(
    "{p} sailed to {v}{tail}.",
    "Route: {p} sailed to {v}.",
    "In which order has {p} sailed to the ports?",
    (
        "So far, in which order has {p} sailed to the ports?",
        "Up to now, to which ports has {p} sailed, in order?",
    ),
)
_TEAM = EventForm(
    "{p} joined the {d} team of {v}{tail}.",
    "Teams of {v}: {s}.",
    "Who has joined both teams of {v}?",
    (
        "So far, who has joined both teams of {v}?",
        "Up to now, which people are in both teams of {v}?",
    ),
)

_NOISE = (
    Noise(
        "A cold wind from {b} blew over the roofs of {a} all day.",
        "word",
        "word",
        "From where did the cold wind over {a} blow?",
        "Over which roofs did the cold wind from {b} blow?",
    ),
    Noise(
        "{a} and {b} laughed about the thin soup at lunch.",
        "person",
        "person",
        "Who laughed with {a} about the thin soup?",
        "Who laughed about the thin soup with {b}?",
    ),
    Noise(
        "It rained in {a} until the old bells of {b} rang.",
        "word",
        "word",
        "Whose bells rang when it rained in {a}?",
        "Where did it rain until the bells of {b} rang?",
    ),
    Noise(
        "{a} hummed a slow tune called {b} while waiting for the bread.",
        "person",
        "word",
        "Which tune did {a} hum?",
        "Who hummed the tune called {b}?",
    ),
    Noise(
        "Fog covered the whole road from {a} to {b} until noon.",
        "word",
        "word",
        "To where did the foggy road from {a} lead?",
        "From where did the foggy road to {b} lead?",
    ),
    Noise(
        "{a} told {b} a long story about the price of onions.",
        "person",
        "person",
        "Who heard from {a} about the price of onions?",
        "Who told {b} about the price of onions?",
    ),
    Noise(
        "The apples of {a} tasted sweeter than the pears of {b} this week.",
        "word",
        "word",
        "Which pears were less sweet than the apples of {a}?",
        "Which apples were sweeter than the pears of {b}?",
    ),
    Noise(
        "{a} yawned loudly during the speech about the bridge at {b}.",
        "person",
        "word",
        "Which bridge made {a} yawn?",
        "Who yawned at the speech about the bridge at {b}?",
    ),
)

ENGLISH = Language(
    code="en",
    person=r"[A-Z][a-z]+ [A-Z][a-z]+",
    value=r"[A-Z][A-Za-z0-9]*",
    date="Date: {date}.",
    rumour="Rumour has it that {s}",
    visitor="visitor {p}",
    wonder="{q} wondered aloud: {s}",
    unverified="Unverified: {s}",
    glue=("please", "about", "with", "again", "near", "this", "some", "only"),
    tails=(
        "",
        " at dawn",
        " at dusk",
        " after lunch",
        " in the rain",
        " before supper",
        " without help",
        " in a hurry",
        " with care",
        " by candlelight",
    ),
    relations=_RELATIONS,
    deeds=(
        "fed the goat",
        "repaired the pump",
        "swept the chapel",
        "painted the fence",
        "carried the mail",
        "watered the vines",
        "oiled the gate",
        "counted the sheep",
        "lit the lamp",
        "cleaned the oven",
        "mended the net",
        "stacked the wood",
    ),
    count=_COUNT,
    order=_ORDER,
    team=_TEAM,
    teams=("red", "blue"),
    both="both",
    section="{d} {s}",
    comma=", ",
    semicolon="; ",
    pair=" and ",
    times=(" time", " times"),
    numerals={
        1: ("one", "once"),
        2: ("two", "twice"),
        3: ("three",),
        4: ("four",),
        5: ("five",),
        6: ("six",),
        7: ("seven",),
        8: ("eight",),
        9: ("nine",),
    },
    noise=_NOISE,
)
