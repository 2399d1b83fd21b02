// What our plugins share: one connection and one reading of the settings for a page.

import { Token } from "@lumino/coreutils";
import type { Connection } from "./connection";
import type { Settings } from "./settings";

export const IConnection = new Token<Connection>("elfbook:IConnection");
export const ISettings = new Token<Settings>("elfbook:ISettings");
