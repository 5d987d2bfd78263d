import { describe, expect, it } from "vitest";
import { ApiError, NetworkFault } from "./api";
import { newKey, Presses } from "./press";

function counted() {
  let n = 0;
  return new Presses(() => `key${++n}`);
}

describe("Presses", () => {
  it("makes one request of a double press", async () => {
    const presses = counted();
    let finish: (value: string) => void = () => undefined;
    const keys: string[] = [];
    const send = (key: string) => {
      keys.push(key);
      return new Promise<string>((resolve) => (finish = resolve));
    };
    const first = presses.press("restart a 1", send);
    expect(presses.press("restart a 1", send)).toBeNull();
    expect(presses.press("run b 0", send)).toBeNull();
    finish("done");
    expect(await first).toBe("done");
    expect(keys).toEqual(["key1"]);
  });

  const fault = new NetworkFault("unreachable", null);
  const press = async (presses: Presses, subject: string, outcome: unknown) => {
    let used = "";
    await presses
      .press(subject, (key) => {
        used = key;
        return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome);
      })
      ?.catch(() => undefined);
    return used;
  };

  it("keeps its key until there is a definite answer", async () => {
    const presses = counted();
    for (const lost of [fault, new NetworkFault("timeout", null), new ApiError(503, "unavailable", ""), new ApiError(500, "internal", "")]) {
      expect(await press(presses, "restart a 1", lost)).toBe("key1");
    }
    expect(await press(presses, "restart a 1", "done")).toBe("key1");
    expect(await press(presses, "restart a 1", "done")).toBe("key2");
  });

  it("takes a new key after a refusal", async () => {
    const presses = counted();
    for (const [i, status] of [400, 401, 404, 409, 422].entries()) {
      expect(await press(presses, "restart a 1", new ApiError(status, "x", ""))).toBe(`key${i + 1}`);
    }
  });

  it("takes a new key for another attempt, operation or project", async () => {
    const presses = counted();
    expect(await press(presses, "restart a 1", fault)).toBe("key1");
    expect(await press(presses, "restart a 2", fault)).toBe("key2");
    expect(await press(presses, "run a 2", fault)).toBe("key3");
  });

  it("can be pressed again after a send that threw at once", async () => {
    const presses = counted();
    await expect(presses.press("a", () => { throw new Error("x"); })).rejects.toThrow("x");
    expect(await press(presses, "a", "done")).toBe("key1");
  });
});

describe("newKey", () => {
  it("is long, printable and never the same", () => {
    const keys = new Set(Array.from({ length: 1000 }, newKey));
    expect(keys.size).toBe(1000);
    for (const key of keys) expect(key).toMatch(/^[0-9a-f]{32}$/);
  });
});
