"""Letter groups of made-up languages, and the ordinary words of titles, trades and genres."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LANGUAGES = (
    # onsets | vowels | codas | male | female | surname | place
    "b br c d f g h l m n p r t tr w|a e i o u ai|l n r th nd rn ll|an on ard ic|a wen eth is|ley"
    " worth by ett low|combe ford wick stead mere",
    "b d f g h k l m n r s sk st t v|a e i o u ei|l n r rs lm nn ld|ar ulf rik en|a dis hild"
    " run|sen dahl berg strand gaard|vik holm stad fjord nes",
    "b c d f g l m n p r s t v z|a e i o|l n r s ll nt|o io ano ero|a ina etta ella|elli ardo"
    " anti oni ucci|ano ola ezza ora enza",
    "b ch d g k l m n p r s sh t v z|a e i o u|l n r s sh v|an ir ek oslav|ka ina eva ana|ovic"
    " enko insky arov ek|grad ovo itsa nik ava",
    "b d f h j k l m n r s t y z|a i u ai|b d l m n r sh|im ir ad un|a iya een ra|azi ouri adeh"
    " ani awi|abad ar iyah oun esh",
    "b d g h k m n r s t y|a e i o u|n k sh m r|to ro shi ke|ko mi na ri|moto naka shiro wara"
    " zuki|saki yama gawa nora tsu",
    "b br c cl d dr f g k l m n r s t|a e i o u ea ui|n l r nn gh rr|an ach in us|a agh een"
    " aid|igan erty onagh ully ane|more kil owen dale oran",
    "b ch d f g j l m n p qu r t v|a e i o u|l n r s rd z|ez on ardo uel|a ita ora ela|ado eros"
    " illo anza ega|anca illa ero osa idad",
    "d h k l m n p r t v|a e i o u aa ei|k l n r s t|u as es os|a aia ele is|akis poulos ides"
    " antis eas|opolis ina onia ara os",
    "b d f g gr h k kl l m n r s sch t w|a e i o u au ei|ch l n r ss rt lf|er olf bert mund|a"
    " linde gard trud|mann hauer stein feld bach|burg heim tal brueck au",
    "b d g j k l m n nd r s t w y z|a e i o u|m n l r|o i eko andu|a ise ani wa|eke osa umbe"
    " adi anga|ville undi ola anda oma",
)

# Too common in English, or a well-known name, to coin.
ORDINARY = _words(
    """then than that this when what from with here there were bread baker later never under
    after into onto person reason season common women woman better letter matter winter summer
    cannon canon london paris rome berlin moscow milan verona valencia barcelona cordoba toyama
    nagasaki wara lord land hard herd ford burden garden pardon london dublin galen allen helen
    martin robert roland arnold armand leonard leon simon ramon roman human garland marina maria
    carina regina katrina elena helena anna hanna diana dana nina tina lina rita lora nora dora
    flora clara sara lara bernard gerard barnard richard edward milford oxford bedford bradford
    stanley shelley wesley bentley barley parley valley galley bennett burnett garnett corbett
    lambert albert hubert norbert gilbert herbert dagmund sigmund edmund rudolf adolf ludwig
    petersen larsen hansen jensen nielsen karsten carsten bergen dresden hamburg freiburg marburg
    salzburg mannheim hoffmann lehmann neumann hartmann bachmann lagos addis harar nairobi sinai
    delano romano milano torino medina messina catania dubai delhi mumbai kano nano piano
    marino merino toro taro hiro kiro coro sharon karen darren warren lauren doren loren
    daniel manuel samuel miguel sanchez lopez gomez perez ramirez fernandez rosa dolores sorrel
    wilton walton norton morton burton barton dalton carlton milton boston preston weston
    suzuki honda toyota round sound found ground bound mound hines miner dinner shawn wayne
    duane layne shane blaine neon noon seen cheek coon geek maim lois yoko lola hilda mimi maas
    nero main mucha gotha hana kana mana sari noor nair maar yami kimi hama mira mila mikil
    banta hoses mario dario nadir karim salim amina salma omar osman"""
)

TITLE_ADJECTIVES = _words(
    """Amber Ancient Autumn Azure Barren Bitter Blazing Blind Borrowed Bright
Brazen Broken Burning Careless Coastal Copper Crimson Crooked Crystal Dancing Distant Drowned
Dusty Eager Earthen Eastern Empty Endless Evening Faded Faithful Fallen Feathered Fickle Floating
Forgotten Fragile Frozen Gentle Gilded Glass Golden Grey Hidden Hollow Honest Humble Hungry
Indigo Iron Ivory Jealous Kindly Lasting Leaden Liquid Lonely Lucid Marble Midnight Modest Mortal
Naked Narrow Nervous Nightly Northern Oaken Painted Paper Patient Perfect Perilous Pewter Pious
Polished Prudent Quiet Ragged Reckless Restless Rising Rugged Rusted Sacred Salted Scarlet Secret
Severed Shallow Silent Silver Sleeping Solemn Southern Spiral Stolen Stubborn Sudden Sunken
Tangled Tender Thirsty Timid Twisted Unbroken Unsung Vacant Vanished Velvet Violet Wandering
Waxen Weary Western Wicked Wild Willing Wooden Wounded Yellow Zealous"""
)

TITLE_NOUNS = _words(
    """Acrobat Anchor Anvil Apple Arrow Attic Avalanche Ballroom Banner Barber Beacon
Beggar Bell Blizzard Bonfire Bridge Cabinet Candle Canary Caravan Carousel Cartographer Cathedral
Cellar Chandelier Chapel Cherry Circus Clock Cloister Comet Compass Corridor Courier Cradle Crane
Crow Curtain Daughter Desert Dolphin Door Dragon Eagle Echo Eclipse Ember Engine Envelope Falcon
Farewell Feast Ferry Fiddler Field Flame Flood Forest Fountain Fox Frontier Furnace Gardener Gate
Ghost Glacier Glove Guest Hammer Harbour Harp Harvest Heron Hill Horizon Hourglass Hunter Island
Jackal Jester Jewel Journey Judge Kettle Kite Ladder Lantern Lark Ledger Lighthouse Lion Locket
Loom Magician Magpie Map Mask Meadow Melody Merchant Meteor Mill Mirror Monsoon Moon Mountain
Needle Nest Night Oath Orchard Orphan Otter Owl Palace Passenger Peacock Pearl Pendulum Physician
Pilgrim Pilot Planet Poet Portrait Prophet Puppet Quarry Raven Reed Refuge Ribbon Rider Ring River
Robin Rooftop Sailor Scarecrow Season Sentinel Shadow Shepherd Shore Signal Sister Smuggler
Snowfall Soldier Sparrow Spider Stair Stallion Station Storm Stranger Swallow Swan Tailor
Telescope Theatre Thief Thorn Thread Tide Tiger Tower Traitor Tunnel Turnstile Umbrella Valley
Vineyard Violin Visitor Voyage Wagon Wall Watchman Waterfall Weaver Well Whale Wheel Willow
Window Winter Witness Wolf Wren"""
)

FILM_GENRES = ("drama", "comedy", "thriller", "adventure", "crime", "war", "romance", "mystery")
NOVEL_GENRES = ("historical", "detective", "gothic", "satirical", "coming-of-age", "picaresque")
MUSIC_GENRES = ("folk", "jazz", "rock", "pop", "soul", "electronic", "country", "blues")
SERIES_GENRES = ("police", "comedy", "medical", "historical", "family", "science fiction")
FESTIVAL_THEMES = ("Jazz", "Film", "Poetry", "Lantern", "Kite", "Folk Music", "Theatre", "Harvest")

TRADES = (
    # noun | suffix of the name | product
    "shipbuilder|Shipyards|cargo ships",
    "brewery|Brewing Company|dark beer",
    "carmaker|Motors|small cars",
    "watchmaker|Watch Company|wristwatches",
    "chemical company|Chemicals|dyes and fertiliser",
    "airline|Airways|regional flights",
    "steelmaker|Steelworks|rails and girders",
    "bank|Savings Bank|loans to farmers",
    "food company|Foods|tinned fish",
    "electronics company|Electronics|radio sets",
    "software company|Systems|accounting software",
    "textile company|Textile Mills|woollen cloth",
    "insurance company|Mutual Insurance|marine insurance",
    "toymaker|Toys|wooden trains",
    "glassmaker|Glassworks|optical glass",
    "railway company|Railway Company|mountain railways",
)

BUILDINGS = (
    # noun | name pattern | takes "the" | what it is known for
    "museum|{0} Museum|yes|a collection of old maps",
    "library|{0} Library|yes|a reading room with a painted ceiling",
    "bridge|{0} Bridge|no|its seven stone arches",
    "theatre|{0} Theatre|yes|a revolving stage",
    "lighthouse|{0} Lighthouse|yes|a lamp seen far out at sea",
    "concert hall|{0} Hall|no|a large pipe organ",
    "cathedral|{0} Cathedral|no|its twin spires",
    "railway station|{0} Station|no|an iron and glass roof",
    "art gallery|{0} Gallery|yes|landscapes of the last century",
)

LANDMARKS = (
    "a medieval market hall",
    "a ruined castle",
    "an old salt works",
    "a botanical garden",
    "a covered bridge",
    "an open-air theatre",
    "a clock tower",
    "a windmill museum",
    "a row of fishermen's cottages",
    "a fortified harbour",
    "a thermal bath",
    "a tram network",
)

GOODS = (
    "apples",
    "slate",
    "wool",
    "pottery",
    "cheese",
    "salt",
    "wine",
    "timber",
    "lace",
    "honey",
    "linen",
    "copper",
    "olives",
    "amber",
    "tobacco",
    "paper",
)

AWARD_FIELDS = {
    "film": ("director", "actor", "screenwriter", "composer"),
    "literature": ("novelist", "poet", "journalist"),
    "music": ("singer", "songwriter", "composer", "record producer"),
    "science": ("physicist", "chemist", "botanist", "mathematician", "astronomer", "geologist"),
    "architecture": ("architect", "engineer"),
    "painting": ("painter", "sculptor"),
}
