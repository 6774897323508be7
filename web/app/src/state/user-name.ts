/** The name of a user in a call: as the call knows it, else as the list of people does, else the user id. */

import type { CallState, Contact } from "@convoke/sdk";

export type Contacts = readonly Pick<Contact, "user" | "name">[] | undefined;

export function nameOf(user: string, { roster, from }: CallState, contacts: Contacts): string {
  const known = [...roster.members, ...(from ? [from] : []), ...(contacts ?? [])];
  return known.find((each) => each.user === user)?.name ?? user;
}
