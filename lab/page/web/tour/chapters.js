// @ts-check
// The chapters of the tour, in their order. Their texts are in ../lang, under tour.

import { election } from "./election.js";

/** @type {import("../js/tour.js").Chapter[]} */
export const chapters = [election];
