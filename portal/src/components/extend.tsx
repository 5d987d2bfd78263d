import { useEffect, useRef, useState } from "react";
import { ApiError, isDefinite, sentenceOf } from "../lib/api";
import { now } from "../lib/clock";
import { extendedTo, formatHours, hoursOf, least, most, presets, refusalOf, secondsOf } from "../lib/extension";
import { formatDuration, formatMoment } from "../lib/format";
import { extendProject, type ProjectStatus } from "../lib/projects";
import { announce } from "./announcer";
import { Button } from "./button";
import { Dialog } from "./dialog";
import styles from "./extend.module.css";
import { Field } from "./field";
import { useNow } from "./hooks";
import { useOutcome, type RunMessage } from "./message";
import { Notice } from "./notice";
import { Time } from "./time";

interface WarningProps {
  /** When it times out, and the milliseconds until then. */
  at: string;
  left: number;
  onExtend: () => void;
}

/** Says that a run will be ended, while its owner can still give it more time. */
export function TimeWarning({ at, left, onExtend }: WarningProps) {
  const [said] = useState(() => `This run times out in ${formatDuration(left)}. You can extend it.`);
  // Not by the notice's role: it changes every second.
  useEffect(() => announce(said), [said]);
  return (
    <Notice tone="warning" silent title={`This run times out in ${formatDuration(left)}`} actions={<Button onPress={onExtend}>Extend…</Button>}>
      If it has not ended by <Time form="sentence" iso={at} />, it is ended as failed. You can give it more time, once.
    </Notice>
  );
}

/** Where the time is over, and the next sweep has not come yet. */
export function TimeOver() {
  return (
    <Notice tone="warning" title="The time of this run is over">
      Unless it ends by itself before, the hourly check ends it as failed. You can restart it then.
    </Notice>
  );
}

interface Props {
  status: ProjectStatus;
  onClose: () => void;
  onDone: (message: RunMessage) => void;
}

/** Asks by how much to extend the attempt that was shown when the dialog opened. */
export function ExtendDialog({ status, onClose, onDone }: Props) {
  const outcome = useOutcome(status);
  const [{ attempt, times_out_at: timesOutAt }] = useState(status);
  const [choice, setChoice] = useState<number | null>(6);
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const underWay = useRef(false);
  const other = useRef<HTMLInputElement>(null);
  const time = useNow(true);
  const hours = choice ?? hoursOf(typed);
  const then = extendedTo(timesOutAt, hours);
  const past = busy ? null : pastOf(status, attempt, time);

  const extend = async (by: number) => {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    setError(null);
    try {
      const { times_out_at: at } = await extendProject(status.project_id, by, attempt);
      onDone(await outcome({
        tone: "success",
        text: `The run was extended by ${formatHours(secondsOf(by))}${at === null ? "" : `: it times out at ${formatMoment(at, now())}`}.`,
      }));
    } catch (problem) {
      const refusal = refusalOf(problem, now());
      if (refusal !== null) onDone(await outcome(refusal));
      else setError(problem);
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  };
  const submit = () => {
    if (hours !== null) return void extend(hours);
    setWrong(true);
    other.current?.focus();
  };
  const change = (next: number | null) => {
    setChoice(next);
    setWrong(false);
  };
  return (
    <Dialog
      title="Extend this run"
      onClose={onClose}
      onSubmit={submit}
      busy={busy}
      actions={
        <>
          <Button onPress={onClose} blocked={busy ? "The run is being extended" : null}>
            Close
          </Button>
          <Button kind="primary" type="submit" busy={busy && "Extending…"} blocked={past}>
            {hours === null ? "Extend" : `Extend by ${formatHours(secondsOf(hours))}`}
          </Button>
        </>
      }
    >
      <p>
        Attempt {attempt} of <strong>{status.name}</strong> times out
        {timesOutAt !== null && <> at <Time form="sentence" iso={timesOutAt} /></>}. An attempt can be extended once.
      </p>
      <fieldset className={styles.choices}>
        <legend>Give it more time</legend>
        {presets.map((n) => (
          <label key={n} className={styles.choice}>
            {/* The browser gives a dialog's focus to its first control, or to this. */}
            <input ref={(input) => void input?.toggleAttribute("autofocus", n === choice)} type="radio" name="hours" checked={choice === n} onChange={() => change(n)} />
            {formatHours(n * 3_600)}
          </label>
        ))}
        <label className={styles.choice}>
          <input type="radio" name="hours" checked={choice === null} onChange={() => change(null)} />
          Other
        </label>
      </fieldset>
      {choice === null && (
        <Field label="Hours" hint={`A number from ${least} to ${most}; 1.5 is an hour and a half`} error={wrong ? `Type a number from ${least} to ${most}` : null}>
          {(tied) => (
            <input
              {...tied}
              ref={other}
              inputMode="decimal"
              autoComplete="off"
              maxLength={8}
              value={typed}
              onChange={(event) => {
                setTyped(event.target.value);
                setWrong(false);
              }}
            />
          )}
        </Field>
      )}
      <p className={styles.then} role="status">
        {then === null ? "–" : <>It then times out at <Time form="sentence" iso={then} />.</>}
      </p>
      {past !== null && <Notice tone="info">{past}.</Notice>}
      {past === null && error !== null && <Failure error={error} />}
    </Dialog>
  );
}

/** Why there is nothing to extend any more, as the page has learnt since; null if there is. */
function pastOf(status: ProjectStatus, attempt: number, time: number): string | null {
  if (status.execution_status !== "running" || status.attempt !== attempt) return "The run has ended: there is nothing to extend";
  const { execution_extension_seconds: by, times_out_at: at } = status;
  if (by !== null) return `The run has been extended by ${formatHours(by)}${at === null ? "" : `, and times out at ${formatMoment(at, time)}`}`;
  if (at !== null && Date.parse(at) <= time) return "The time of the run is over: it can’t be extended any more";
  return null;
}

/** What may pass: no answer, or a service that is too busy. The same request again adds nothing twice. */
function Failure({ error }: { error: unknown }) {
  const wait = error instanceof ApiError ? error.retryAfter : null;
  const known = isDefinite(error) || (error instanceof ApiError && error.status === 429);
  const again = wait === null || wait === 0 ? "You can try again" : `Try again in ${formatDuration(wait * 1_000)}`;
  return (
    <Notice tone="error" title={known ? "The run was not extended" : "It is not known whether the run was extended"}>
      {sentenceOf(error).replace(/\.?$/, ".")} {again}
      {known ? "." : ": nothing is added twice."}
    </Notice>
  );
}
