/** Words that the built-in site's catalogue, reviews and forum are made of. */

/** What products are called before the noun. */
export const QUALITIES: readonly string[] = [
  "Amber",
  "Birch",
  "Blue",
  "Bold",
  "Brass",
  "Classic",
  "Copper",
  "Coral",
  "Crisp",
  "Folding",
  "Golden",
  "Green",
  "Grey",
  "Large",
  "Light",
  "Linen",
  "Maple",
  "Mini",
  "Modern",
  "Oak",
  "Plain",
  "Red",
  "Round",
  "Silver",
  "Slate",
  "Smart",
  "Soft",
  "Solid",
  "Steel",
  "Tall",
  "Travel",
  "White",
]; // deno-fmt-ignore

/** A kind of product: its things, and what they are for. */
export interface CategoryWords {
  readonly name: string;
  /** What its things are. */
  readonly nouns: readonly string[];
  /** What they are made for. */
  readonly purposes: readonly string[];
  /** What its options are called, for the things that have any. */
  readonly option: { readonly label: string; readonly choices: readonly string[] };
}

/** Categories that a site's are chosen from. */
export const CATEGORIES: readonly CategoryWords[] = [
  {
    name: "Kitchen",
    nouns: ["Kettle", "Mug", "Pan", "Bowl", "Ladle", "Grater", "Teapot", "Whisk", "Tray"],
    purposes: ["daily cooking", "slow breakfasts", "small kitchens", "large families", "baking days"],
    option: { label: "Finish", choices: ["Matt", "Glossy"] },
  },
  {
    name: "Garden",
    nouns: ["Spade", "Rake", "Planter", "Hose", "Bench", "Trowel", "Bucket", "Feeder", "Shears"],
    purposes: ["wet soil", "balcony plants", "herb beds", "old hedges", "spring work"],
    option: { label: "Size", choices: ["Small", "Medium", "Big"] },
  },
  {
    name: "Office",
    nouns: ["Stapler", "Notebook", "Pen", "Folder", "Desk", "Chair", "Clock", "Shelf", "Ruler"],
    purposes: ["long meetings", "home offices", "tidy desks", "quick notes", "students"],
    option: { label: "Color", choices: ["Black", "Beige"] },
  },
  {
    name: "Toys",
    nouns: ["Puzzle", "Robot", "Kite", "Train", "Blocks", "Doll", "Yoyo", "Drum", "Top"],
    purposes: ["rainy days", "young builders", "windy fields", "two players", "long trips"],
    option: { label: "Age", choices: ["From 3", "From 6"] },
  },
  {
    name: "Sports",
    nouns: ["Ball", "Racket", "Helmet", "Bottle", "Gloves", "Mat", "Rope", "Bag", "Skates"],
    purposes: ["first lessons", "hard training", "morning runs", "school teams", "cold halls"],
    option: { label: "Size", choices: ["Small", "Medium", "Big"] },
  },
  {
    name: "Lighting",
    nouns: ["Lamp", "Lantern", "Candle", "Torch", "Spotlight", "Chain", "Shade", "Bulb", "Sconce"],
    purposes: ["reading corners", "dark halls", "camping nights", "warm evenings", "work benches"],
    option: { label: "Glow", choices: ["Warm", "Cool"] },
  },
];

/** First names of customers and forum members. */
export const FIRST_NAMES: readonly string[] = [
  "Ada",
  "Ben",
  "Carla",
  "Dan",
  "Emma",
  "Felix",
  "Grace",
  "Hugo",
  "Ida",
  "Jonas",
  "Kira",
  "Leo",
  "Mara",
  "Nils",
  "Olga",
  "Paul",
  "Rosa",
  "Sam",
  "Tina",
  "Victor",
]; // deno-fmt-ignore

/** Family names. */
export const LAST_NAMES: readonly string[] = [
  "Adams", "Berg", "Clark", "Dahl", "Evans", "Fischer", "Grant", "Hill", "Ivers", "Jones", "Kowal", "Lane", "Moss", "North",
]; // deno-fmt-ignore

/** Streets and towns of addresses. */
export const STREETS: readonly string[] = ["Mill Road", "Park Lane", "Hill Street", "Lake View", "Station Road", "Oak Avenue"];
/** Towns. */
export const TOWNS: readonly string[] = [
  "Ashford",
  "Bristol",
  "Cardiff",
  "Derby",
  "Exeter",
  "Leeds",
  "Norwich",
  "York",
];

/** Countries of origin. */
export const COUNTRIES: readonly string[] = [
  "Norway",
  "Italy",
  "Japan",
  "Poland",
  "Kenya",
  "Peru",
  "Canada",
  "Portugal",
];

/** What reviewers say, by how many stars they give: poor (1 and 2), middling (3), good (4 and 5). */
export const REVIEW_TEXTS: Readonly<Record<"poor" | "middling" | "good", readonly string[]>> = {
  poor: [
    "Broke after a week.",
    "Smaller than I thought.",
    "The color fades quickly.",
    "Arrived with a scratch.",
    "Not worth the money.",
    "Feels cheap in the hand.",
  ],
  middling: [
    "Does its job, no more.",
    "Fine for the price.",
    "Good, but heavy.",
    "Nice look, odd smell.",
    "Okay for a gift.",
    "Works most of the time.",
  ],
  good: [
    "Works well and looks good.",
    "My second one, still happy.",
    "Exactly as described.",
    "Better than the old model.",
    "Great gift for my sister.",
    "I use it every day.",
    "Easy to clean.",
    "Strong and light.",
  ],
};

/** Titles of forum posts; `{}` is a product's name, written small. */
export const POST_TITLES: readonly string[] = [
  "Is the {} worth it?",
  "Best use for a {}?",
  "My {} story",
  "Tips for the {}",
  "Anyone fixed a {}?",
  "Gift idea: {}",
  "How to clean a {}",
  "Swap my {}?",
];

/** First lines of forum posts. */
export const POST_TEXTS: readonly string[] = [
  "I have had mine for a month now.",
  "Please share what you know.",
  "I could not find it in the help pages.",
  "It was a present from my uncle.",
  "Three of us want to know.",
  "I read the reviews and still wonder.",
  "Photos will follow soon.",
  "Any answer is welcome.",
];

/** Comments on forum posts. */
export const COMMENTS: readonly string[] = [
  "Yes, go for it.",
  "I would wait for a sale.",
  "Warm water did it for me.",
  "Mine is still in the box.",
  "Ask the shop, they are kind.",
  "Same question here.",
  "No, the old one is better.",
  "Thanks, that helped.",
];
