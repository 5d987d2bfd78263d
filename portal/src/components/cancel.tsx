import { useRef, useState } from "react";
import { ApiError, sentenceOf } from "../lib/api";
import { cancelProject, type ProjectStatus } from "../lib/projects";
import { Button } from "./button";
import { Dialog } from "./dialog";
import { useOutcome, type RunMessage } from "./message";
import { Notice } from "./notice";

interface Props {
  status: ProjectStatus;
  onClose: () => void;
  onDone: (message: RunMessage) => void;
}

/** Asks whether to cancel the attempt that was shown when the dialog opened. */
export function CancelDialog({ status, onClose, onDone }: Props) {
  const outcome = useOutcome(status);
  const [attempt] = useState(status.attempt);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const underWay = useRef(false);

  const cancel = async () => {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    setError(null);
    try {
      await cancelProject(status.project_id, attempt);
      onDone(await outcome({ tone: "success", text: "The run was cancelled." }));
    } catch (problem) {
      if (problem instanceof ApiError && problem.code === "project_not_running") {
        // A second press, or the run was quicker: there is nothing left to cancel.
        onDone(await outcome({ tone: "info", text: "The run had ended already." }));
      } else if (problem instanceof ApiError && problem.status === 409) {
        onDone(await outcome({ tone: "warning", text: "Nothing was cancelled: another attempt has begun since. The page shows the project as it is now." }));
      } else {
        setError(problem);
      }
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  };
  return (
    <Dialog
      title="Cancel this run?"
      onClose={onClose}
      busy={busy}
      actions={
        <>
          <Button onPress={onClose} blocked={busy ? "The run is being cancelled" : null}>
            Keep it running
          </Button>
          <Button kind="danger" busy={busy && "Cancelling…"} onPress={() => void cancel()}>
            Cancel the run
          </Button>
        </>
      }
    >
      <p>
        Attempt {attempt} of <strong>{status.name}</strong> ends as failed. What it has written so far is kept with the attempt, and you can restart
        the project.
      </p>
      {error !== null && (
        <Notice tone="error" title="The run was not cancelled">
          {sentenceOf(error)} You can try again.
        </Notice>
      )}
    </Dialog>
  );
}
