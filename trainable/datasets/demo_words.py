"""Vocabulary of the synthetic newswire: every word list is ours, every name is invented.

Nine families of three labels: a common one, a rarer and a rare one. The labels of a family share
`context`; a label's own `cues` tell it apart. Words recur across labels on purpose (cargoes,
offers, stocks).
"""

from typing import Final, NamedTuple


class Topic(NamedTuple):
    """One label: its name, how many documents it leads, and the phrases that give it away."""

    label: str
    documents: int
    cues: tuple[str, ...]


class Family(NamedTuple):
    """Three labels of falling frequency in one context."""

    context: tuple[str, ...]
    topics: tuple[Topic, Topic, Topic]


FAMILIES: Final = (
    Family(
        ("quarterly results", "the balance sheet", "shareholder returns", "full-year accounts"),
        (
            Topic("earnings", 548, ("net profit", "a wider loss", "record turnover", "margins")),
            Topic("dividends", 46, ("a final payout", "the interim coupon", "yield per share")),
            Topic("buybacks", 13, ("share repurchases", "treasury stock", "a tender for shares")),
        ),
    ),
    Family(
        ("the takeover panel", "boardroom talks", "a controlling stake", "the target's shares"),
        (
            Topic("mergers", 308, ("an agreed merger", "a friendly offer", "combined operations")),
            Topic("divestments", 39, ("the sale of a unit", "a spin-off", "unwanted assets")),
            Topic("hostile-bids", 12, ("a hostile offer", "a poison pill", "a proxy fight")),
        ),
    ),
    Family(
        ("barrels and pipelines", "the energy ministry", "well output", "fuel stocks"),
        (
            Topic("crude-oil", 214, ("crude prices", "a tanker of crude", "refinery runs")),
            Topic("natural-gas", 33, ("liquefied cargoes", "a gas pipeline", "winter heating")),
            Topic("geothermal", 11, ("hot springs", "steam wells", "volcanic heat")),
        ),
    ),
    Family(
        ("the harvest", "grain silos", "planting weather", "export tenders"),
        (
            Topic("wheat", 160, ("winter wheat", "bread flour", "milling quality")),
            Topic("barley", 29, ("malting barley", "feed barley", "the brewing crop")),
            Topic("millet", 10, ("pearl millet", "dryland millet", "birdseed demand")),
        ),
    ),
    Family(
        ("the central bank", "monetary policy", "bond dealers", "the treasury"),
        (
            Topic("interest-rates", 125, ("a rate cut", "dearer credit", "the discount rate")),
            Topic("inflation", 25, ("consumer prices", "the price index", "costlier food")),
            Topic("currency-pegs", 10, ("a fixed parity", "a devaluation", "the exchange band")),
        ),
    ),
    Family(
        ("smelters", "ore grades", "the metals exchange", "warehouse stocks"),
        (
            Topic("copper", 100, ("copper cathodes", "red metal", "wire makers")),
            Topic("lithium", 22, ("battery salts", "brine ponds", "spodumene")),
            Topic("tungsten", 9, ("tungsten carbide", "wolframite", "drill-bit alloys")),
        ),
    ),
    Family(
        ("the docks", "vessel owners", "container lines", "harbour pilots"),
        (
            Topic("freight", 82, ("charter rates", "bulk carriers", "spot cargoes")),
            Topic("ports", 19, ("berth congestion", "a new quay", "dredging")),
            Topic("salvage", 9, ("a grounded ship", "towing crews", "a hull recovery")),
        ),
    ),
    Family(
        ("growers", "the commodity board", "bagged exports", "plantation estates"),
        (
            Topic("coffee", 68, ("green beans", "arabica lots", "roasters")),
            Topic("cocoa", 17, ("cocoa butter", "pod disease", "chocolate makers")),
            Topic("vanilla", 8, ("cured pods", "vanilla vines", "extract buyers")),
        ),
    ),
    Family(
        ("the workforce", "union officials", "payroll figures", "plant managers"),
        (
            Topic("jobs", 57, ("unemployment claims", "new hiring", "the jobless count")),
            Topic("strikes", 15, ("a walkout", "picket lines", "an overtime ban")),
            Topic("pensions", 8, ("retirement funds", "a pension deficit", "early retirement")),
        ),
    ),
)

# {company}, {context}, {cue}, {place}, {change}, {period}, {number}
SENTENCES: Final = (
    "{company} said {context} {change} {number} pct on {cue}",
    "dealers in {place} tied {cue} to {context}, which {change} in {period}",
    "{company} expects {cue} to weigh on {context} in {period}",
    "{context} {change} in {period} after {cue} at {company}",
    "{cue} drew attention in {place} as {context} {change}",
    "officials in {place} confirmed {cue} and said {context} {change}",
)

# the cue is missing: only the context hints at the label
VAGUE_SENTENCES: Final = (
    "{company} said {context} {change} {number} pct in {period}, giving no reason",
    "observers in {place} noted that {context} {change} during {period}",
)

FILLERS: Final = (
    "no further figures were given",
    "{company} declined to comment",
    "a report is due in {period}",
    "trading in {place} was quiet",
)

CHANGES: Final = ("rose", "fell", "slipped", "firmed", "steadied", "recovered", "weakened")
PERIODS: Final = ("the spring", "the second quarter", "the autumn", "January", "late summer")
PLACES: Final = (
    "Port Harrowen",
    "Lindmoor",
    "Estavra",
    "Kelmouth",
    "Sandrevik",
    "Upper Tolland",
    "Varnesse",
    "Quillan Bay",
)
NAME_STARTS: Final = ("Mor", "Tel", "Quas", "Bren", "Ostra", "Vel", "Hald", "Pirn", "Zeb", "Corv")
NAME_ENDS: Final = ("nvik", "dovar", "sson", "melt", "quist", "rano", "bury", "lith", "tarn")
NAME_KINDS: Final = ("Group", "Holdings", "Partners", "Works", "Lines", "Trust")
