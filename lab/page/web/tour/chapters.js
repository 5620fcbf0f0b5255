// @ts-check
// The chapters of the tour, in their order. Their texts are in ../lang, under tour.

import { basics } from "./basics.js";
import { beyond } from "./beyond.js";

/** @type {import("../js/tour.js").Chapter[]} */
export const chapters = [...basics, ...beyond];
