/** Storage of this tab or this browser; empty where a person lets pages store nothing. */

export type PageStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const NOTHING: PageStorage = { getItem: () => null, setItem: () => {}, removeItem: () => {} };

/** Some browsers throw at the mere question. */
function storage(ask: () => PageStorage): PageStorage {
  try {
    return ask();
  } catch {
    return NOTHING;
  }
}

export const ofTab = () => storage(() => sessionStorage);
export const ofBrowser = () => storage(() => localStorage);
