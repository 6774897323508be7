/** The name of a user in a call: as the call knows it, else as the list of people does, else the user id. */

import type { CallState, Contact } from "@convoke/sdk";
import { t } from "../texts/t.ts";

export type Contacts = readonly Pick<Contact, "user" | "name">[] | undefined;

/** Who runs the server acts in a call under this name, which no user has. */
export const OPERATOR = ":operator";

export function nameOf(user: string, { roster, from }: CallState, contacts: Contacts): string {
  if (user === OPERATOR) return t("name.operator");
  const known = [...roster.members, ...(from ? [from] : []), ...(contacts ?? [])];
  return known.find((each) => each.user === user)?.name ?? user;
}
