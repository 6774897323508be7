/**
 * The sign-in: it decides whose page this is, before anything else and after signing out.
 *
 * ```
 *  insecure                                    (browsers give such a page no devices: it says where to go)
 *  opening ──link──► signing_in ──► in ──sign out, here or in another tab──► signed_out
 *     │ └─account of this tab, or the only one─┘ └──► refused
 *     └──► choose (several), no_link (none)
 * ```
 */

import { ConvokeError, type Login, Logins } from "@convoke/sdk";
import { rememberAccount, tabAccount } from "./link.ts";
import type { Model } from "./model.ts";
import { secureAddress } from "./secure-address.ts";

/** What a person can do about it. */
export interface SignInActions {
  signInAs(account: string): void;
  signOut(): void;
  /** How many tabs a sign-out ends. */
  tabs(): Promise<number>;
}

export class SignIn implements SignInActions {
  readonly #model: Model;
  readonly #entered: (login: Login) => void;
  readonly #left: () => void;
  #logins: Logins | undefined;
  #login: Login | undefined;

  /** `entered` begins what needs a login, `left` ends it. */
  constructor(model: Model, entered: (login: Login) => void, left: () => void) {
    this.#model = model;
    this.#entered = entered;
    this.#left = left;
  }

  /** `taken` is called once the secret is kept, and may leave the address. */
  async start(secret: string | undefined, taken: () => void): Promise<void> {
    if (!isSecureContext) {
      this.#model.signInState.value = { type: "insecure" };
      this.#model.signInState.value = { type: "insecure", goTo: await secureAddress() };
      return;
    }
    const logins = await Logins.open(location.origin);
    this.#logins = logins;
    const account = secret ? await logins.keep(secret) : (tabAccount() ?? (await logins.only()));
    rememberAccount(account);
    taken();
    await this.#list();
    if (account) return this.#signIn(account);
    this.#model.signInState.value = { type: this.#model.logins.value.length > 0 ? "choose" : "no_link" };
  }

  signInAs(account: string): void {
    rememberAccount(account);
    location.reload();
  }

  signOut(): void {
    const login = this.#login;
    if (!login) return;
    this.#leaves(undefined);
    void login.signOut().then(async (told) => {
      await this.#list();
      this.#model.signInState.value = { type: "signed_out", told };
    });
  }

  async tabs(): Promise<number> {
    return (await this.#login?.tabs()) ?? 0;
  }

  async #signIn(account: string): Promise<void> {
    const state = this.#model.signInState;
    state.value = { type: "signing_in" };
    try {
      const login = await this.#logins?.signIn(account, (error) => {
        state.value = { type: "signing_in", error };
      });
      if (login) this.#enter(login);
    } catch (error) {
      if (!(error instanceof ConvokeError)) throw error;
      rememberAccount(undefined);
      await this.#list();
      state.value = { type: "refused", error };
    }
  }

  #enter(login: Login): void {
    this.#login = login;
    rememberAccount(login.account);
    login.onSignedOut(() => this.#leaves(true));
    login.keepFresh();
    this.#model.signInState.value = { type: "in" };
    this.#entered(login);
  }

  #leaves(told: boolean | undefined): void {
    this.#login = undefined;
    rememberAccount(undefined);
    this.#left();
    this.#model.signInState.value = { type: "signed_out", told };
  }

  /** Who else could sign in here. */
  async #list(): Promise<void> {
    this.#model.logins.value = (await this.#logins?.remembered()) ?? [];
  }
}
