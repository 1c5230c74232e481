import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";

import { itself } from "./itself.js";
import { layers } from "./layers.js";
import { numerics } from "./numerics.js";
import { overview } from "./overview.js";
import { ranks } from "./ranks.js";
import { singleRun } from "./run.js";

export const dashboards: Dashboard[] = [overview, singleRun, layers, numerics, ranks, itself];
