/** What to tell somebody who has no Chromium. */
export const howToGet: string;
/** The path of a Chromium, or null. A CHROMIUM that is no program is none. */
export function findChromium(env?: NodeJS.ProcessEnv): string | null;
