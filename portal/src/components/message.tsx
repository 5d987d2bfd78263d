import { useQueryClient } from "@tanstack/react-query";
import type { ProjectStatus } from "../lib/projects";
import { keys } from "../lib/queries";
import { announce } from "./announcer";
import { Button } from "./button";
import { Notice, type Tone } from "./notice";

/** What became of a wish about a run. */
export interface RunMessage {
  tone: Tone;
  text: string;
  /** The attempt that the project was at then. A later one has nothing to do with it. */
  attempt: number;
}

/**
 * Says what became of a wish, and reads anew what the pages show of the project.
 * Returns the message for its page.
 */
export function useOutcome(status: ProjectStatus): (outcome: Omit<RunMessage, "attempt">) => Promise<RunMessage> {
  const client = useQueryClient();
  const { project_id: id, attempt } = status;
  return async (outcome) => {
    announce(outcome.text);
    await Promise.all([
      client.invalidateQueries({ queryKey: keys.project(id) }),
      client.invalidateQueries({ queryKey: keys.status(id) }),
      client.invalidateQueries({ queryKey: keys.lists }),
    ]);
    return { ...outcome, attempt: client.getQueryData<ProjectStatus>(keys.status(id))?.attempt ?? attempt };
  };
}

/** The message of a dialog that has closed, until it is dismissed or another attempt begins. */
export function RunNotice({ message, status, onDismiss }: { message: RunMessage | null; status: ProjectStatus; onDismiss: () => void }) {
  if (message?.attempt !== status.attempt) return null;
  return (
    <Notice tone={message.tone} silent actions={<Button onPress={onDismiss}>Dismiss</Button>}>
      {message.text}
    </Notice>
  );
}
