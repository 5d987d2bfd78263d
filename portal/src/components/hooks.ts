import { useEffect, useState } from "react";
import { sessions } from "../lib/api";
import { now } from "../lib/clock";
import { useSessionState, type Session } from "../lib/session";

/** A clock's time, every second while it is wanted: the server's, or another. */
export function useNow(ticking: boolean, clock: () => number = now): number {
  const [time, setTime] = useState(clock);
  useEffect(() => {
    if (!ticking) return;
    const timer = setInterval(() => setTime(clock()), 1000);
    return () => clearInterval(timer);
  }, [ticking, clock]);
  return time;
}

/** The session of a page that is shown to who is signed in alone. */
export function useSession(): Session | null {
  return useSessionState(sessions).session;
}
