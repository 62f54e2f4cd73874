/**
 * The built-in text games by name.
 */

import { BAKE_BREAD } from "./bake_bread.ts";
import { BOIL_TEA } from "./boil_tea.ts";
import { BREAK_FEVER } from "./break_fever.ts";
import { CAMP_SOUP } from "./camp_soup.ts";
import { FREEZE_ICE } from "./freeze_ice.ts";
import type { TextGame } from "./game.ts";
import { LEAKY_JUGS } from "./leaky_jugs.ts";
import { MIX_PAINT } from "./mix_paint.ts";
import { SOLAR_RADIO } from "./solar_radio.ts";
import { TIMED_CHEST } from "./timed_chest.ts";
import { WASH_DISHES } from "./wash_dishes.ts";
import { WEIGH_STONES } from "./weigh_stones.ts";
import { WINDOW_GARDEN } from "./window_garden.ts";
import { WIRE_LAMP } from "./wire_lamp.ts";

/** All built-in text games, by the names that their rows carry. */
export const TEXT_GAMES: Readonly<Record<string, TextGame>> = Object.freeze(Object.fromEntries(
  [
    BAKE_BREAD,
    BOIL_TEA,
    BREAK_FEVER,
    CAMP_SOUP,
    FREEZE_ICE,
    LEAKY_JUGS,
    MIX_PAINT,
    SOLAR_RADIO,
    TIMED_CHEST,
    WASH_DISHES,
    WEIGH_STONES,
    WINDOW_GARDEN,
    WIRE_LAMP,
  ].map((game) => [game.name, game]),
));
