// Package runner supervises one execution of a project: it claims the
// execution, runs the command, says that it is alive, keeps the time limit and
// reports how it ended. It is the same program in the container of the cloud
// and in the child process of the local stack; infra/runner is its main.
//
//	claim ──granted──▶ command ──exit code 0──▶ upload ──▶ result
//	  │ refused             └──── heartbeat, heartbeat, … ────┘
//	  ▼                                │ attempt closed
//	[ExitNotStarted]                   ▼
//	                       stop the work, report nothing
//
// # What holds
//
// Nothing is started before the API has granted the claim, so that a job that
// the engine runs twice does its work once. The grant is asked for again under
// the same runner id when its answer was lost.
//
// An API that can't be reached stops no work: the runner keeps trying, up to
// the execution's own limit, and then for [Config.ReportWithin] more to hand in
// the result. Only an answer of the API ends an execution early.
//
// Where the output folder is s3://…, the command works in a folder that is made
// for it and removed in the end. After exit code 0 the folder is sent as a zip, in
// parts that are held in memory one at a time, to URLs that the API signs. A
// heartbeat brings leave to show the ends of the logs. The limit, the engine's stop
// and a closed attempt hold for the upload as for the command, and only an output
// that is stored whole is a success. A stop by the engine begins no upload and ends
// one that is under way.
//
// The command is a tenant's code and is not trusted. It gets what it needs as
// environment variables and nothing else of the runner's environment; its
// output is kept as a bounded tail; its whole process group goes when it ends.
// It runs under the runner's user, so [Main] makes the runner's memory and
// environment unreadable to that user (on Linux). It can still end the runner
// by a signal: the engine's end-of-job event is there for that.
//
// # What the command gets
//
// PROJECT_ID, PROJECT_NAME, PROJECT_DESCRIPTION, PROJECT_OBJECTIVES, TENANT_ID
// and EXECUTION_ID say what to do. OUTPUT_DIR is its working directory, where
// its output belongs. To PROGRESS_FILE it appends lines such as
// "40 Generating pages". Exit code 0 is success; after any other the end of
// its standard error is the project's error.
package runner
