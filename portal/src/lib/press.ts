// One press of a button is one request, and one wish has one Idempotency-Key.

import { isDefinite } from "./api";

/** A new Idempotency-Key: 128 random bits. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The presses of one button. While a request is under way further presses do
 * nothing. The key is made by the press, kept while the outcome is not known (no
 * answer, or a server that broke down), and dropped after a definite answer. A
 * press about something else (another attempt, another operation) has a key of
 * its own.
 */
export class Presses {
  #underWay = false;
  #wish: { subject: string; key: string } | null = null;
  readonly #makeKey: () => string;

  constructor(makeKey: () => string = newKey) {
    this.#makeKey = makeKey;
  }

  /** Sends, or returns null where a request is under way. */
  press<T>(subject: string, send: (key: string) => Promise<T>): Promise<T> | null {
    if (this.#underWay) return null;
    this.#underWay = true;
    if (this.#wish?.subject !== subject) this.#wish = { subject, key: this.#makeKey() };
    return this.#send(send, this.#wish.key);
  }

  async #send<T>(send: (key: string) => Promise<T>, key: string): Promise<T> {
    try {
      const answer = await send(key);
      this.#wish = null;
      return answer;
    } catch (error) {
      if (isDefinite(error)) this.#wish = null;
      throw error;
    } finally {
      this.#underWay = false;
    }
  }
}
