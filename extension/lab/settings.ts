// The settings of schemas/settings.json as they are now. Where they cannot be had, the defaults hold.

import type { ISettingRegistry, LoadedSettings } from "@jupyterlab/settingregistry";

export interface Values {
  readonly statusItem: boolean;
  readonly openAtStart: boolean;
  readonly startWorkers: number;
  readonly magicLine: "bar" | "colours" | "plain";
}

export const DEFAULTS: Values = { statusItem: true, openAtStart: false, startWorkers: 2, magicLine: "bar" };
const ID = "elfbook:settings";

export interface Settings {
  readonly now: Values;
  /** Settles once `now` is what was set, or the defaults if that cannot be known. */
  readonly loaded: Promise<void>;
  /** Calls at each change, the first reading among them. */
  onChange(tell: () => void): void;
}

export function settingsFrom(registry: ISettingRegistry | null): Settings {
  return new Read(registry);
}

class Read implements Settings {
  now = DEFAULTS;
  readonly loaded: Promise<void>;
  private readonly listeners: (() => void)[] = [];

  constructor(registry: ISettingRegistry | null) {
    // A schema that is not found belongs to an installation that is not whole: there is nothing to set then.
    this.loaded = registry ? registry.load(ID).then((loaded) => this.follow(loaded), () => undefined) : Promise.resolve();
  }

  onChange(tell: () => void): void {
    this.listeners.push(tell);
  }

  private follow(loaded: LoadedSettings): void {
    const read = () => {
      this.now = { ...DEFAULTS, ...(loaded.composite as Partial<Values>) };
      for (const tell of this.listeners) tell();
    };
    loaded.changed.connect(read);
    read();
  }
}
