package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/joho/godotenv"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// defaultData is the local stack's own default.
const defaultData = ".local"

// target is where the command line says the stack is.
type target struct {
	local   string // data folder; empty: in an AWS account
	envFile string

	profile, region             string
	projects, tenants, sessions string
	sweeps                      string
	cleanup                     string
}

const (
	projectsSetting = "PROJECTS_TABLE"
	tenantsSetting  = "TENANTS_TABLE"
	sessionsSetting = "SESSIONS_TABLE"
	sweepsSetting   = "SWEEPS_TABLE"
	cleanupSetting  = "CLEANUP_FUNCTION"
	hashingSetting  = "HASHING_SECRET"
	profileSetting  = "AWS_PROFILE"
	regionSetting   = "AWS_REGION"
)

// connect makes the stack that t names. Nothing is called before a command
// asks for something.
func connect(ctx context.Context, t target, env func(string) (string, bool)) (*stack, error) {
	if t.local != "" {
		return connectLocal(t.local, env)
	}
	set, err := settingsOf(t, env)
	if err != nil {
		return nil, err
	}
	return connectAWS(ctx, set)
}

// settingsOf returns a lookup in the flags first, then the environment, then
// the file of settings. An empty value counts as none.
func settingsOf(t target, env func(string) (string, bool)) (func(string) string, error) {
	file := map[string]string{}
	if t.envFile != "" {
		var err error
		if file, err = godotenv.Read(t.envFile); err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				return nil, fmt.Errorf("the settings file: %w", err)
			}
			// The parser quotes the line, which may be a secret's.
			return nil, fmt.Errorf("the settings file %s is not one of NAME=value lines", t.envFile)
		}
	}
	flags := map[string]string{
		projectsSetting: t.projects, tenantsSetting: t.tenants, sessionsSetting: t.sessions,
		sweepsSetting: t.sweeps, cleanupSetting: t.cleanup, profileSetting: t.profile, regionSetting: t.region,
	}
	return func(name string) string {
		if v := flags[name]; v != "" {
			return v
		}
		if v, _ := env(name); v != "" {
			return v
		}
		return file[name]
	}, nil
}

func connectAWS(ctx context.Context, set func(string) string) (*stack, error) {
	configure := func() (aws.Config, error) {
		var options []func(*config.LoadOptions) error
		if v := set(profileSetting); v != "" {
			options = append(options, config.WithSharedConfigProfile(v))
		}
		if v := set(regionSetting); v != "" {
			options = append(options, config.WithRegion(v))
		}
		cfg, err := config.LoadDefaultConfig(ctx, options...)
		if err != nil {
			return cfg, fmt.Errorf("the AWS profile: %w", err)
		}
		if cfg.Region == "" {
			return cfg, usagef("no AWS region is set: give --region, or set it in the profile")
		}
		return cfg, nil
	}
	open := func(needed ...string) (*dynamo.Store, error) {
		missing := slices.DeleteFunc(needed, func(name string) bool { return set(name) != "" })
		if len(missing) > 0 {
			return nil, usagef("say where: --local for the stack on this machine, or %s for one in an AWS account (rekindlectl --help says how to get them)", strings.Join(missing, ", "))
		}
		cfg, err := configure()
		if err != nil {
			return nil, err
		}
		return dynamo.New(dynamo.ClientFromConfig(cfg), dynamo.Tables{
			Projects: set(projectsSetting), Tenants: set(tenantsSetting), Sessions: set(sessionsSetting), Sweeps: set(sweepsSetting),
		}), nil
	}
	return &stack{
		store:    func() (store, error) { return open(projectsSetting, tenantsSetting, sessionsSetting) },
		receipts: func() (receipts, error) { return open(sweepsSetting) },
		hasher: func() (*project.Hasher, error) {
			secret := set(hashingSetting)
			if secret == "" {
				return nil, usagef("%s is not set: see rekindlectl --help for how to get it", hashingSetting)
			}
			return newHasher(hashingSetting, secret)
		},
		sweep: func(ctx context.Context, dryRun bool) (*project.SweepReceipt, error) {
			name := set(cleanupSetting)
			if name == "" {
				return nil, usagef("say where: --local for the stack on this machine, or %s for one in an AWS account (rekindlectl --help says how to get it)", cleanupSetting)
			}
			cfg, err := configure()
			if err != nil {
				return nil, err
			}
			return invokeSweep(ctx, lambda.NewFromConfig(cfg), name, dryRun)
		},
	}, nil
}

// newHasher makes a hasher; the secret is in no error.
func newHasher(source, secret string) (*project.Hasher, error) {
	h, err := project.NewHasher(strings.TrimSpace(secret))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return h, nil
}

// localStack is what a stack on this machine says of itself in its data folder.
type localStack struct {
	API      string            `json:"api"`
	Database string            `json:"database"`
	Tables   map[string]string `json:"tables"`
	PID      int               `json:"pid"`
}

// connectLocal finds the stack that serves a data folder now.
func connectLocal(data string, env func(string) (string, bool)) (*stack, error) {
	absent := fmt.Errorf("no stack serves %s: start one with make run, or name its data folder with --local=FOLDER", data)
	text, err := os.ReadFile(filepath.Join(data, "stack.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absent
	}
	if err != nil {
		return nil, fmt.Errorf("the local stack: %w", err)
	}
	var at localStack
	if err := json.Unmarshal(text, &at); err != nil {
		return nil, fmt.Errorf("the local stack: %s: %w", filepath.Join(data, "stack.json"), err)
	}
	// The file of a stack that was killed is still there, and its ports may be
	// somebody else's by now.
	if p, err := os.FindProcess(at.PID); err != nil || errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone) {
		return nil, absent
	}
	database := map[string]string{dynamo.EndpointSetting: at.Database}
	// What the stack itself uses, for some databases keep the tables of each region
	// and access key apart.
	for name, otherwise := range map[string]string{
		regionSetting: "us-east-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": "",
	} {
		if database[name], _ = env(name); database[name] == "" {
			database[name] = otherwise
		}
	}
	open := func() (*dynamo.Store, error) {
		client, err := dynamo.ClientFromEnv(func(name string) (string, bool) { v, ok := database[name]; return v, ok })
		if err != nil {
			return nil, fmt.Errorf("the local stack: %w", err)
		}
		return dynamo.New(client, dynamo.Tables{
			Projects: at.Tables[projectsSetting], Tenants: at.Tables[tenantsSetting], Sessions: at.Tables[sessionsSetting], Sweeps: at.Tables[sweepsSetting],
		}), nil
	}
	return &stack{
		store:    func() (store, error) { return open() },
		receipts: func() (receipts, error) { return open() },
		hasher: func() (*project.Hasher, error) {
			secret, err := os.ReadFile(filepath.Join(data, "hashing-secret"))
			if err != nil {
				return nil, fmt.Errorf("the local stack's hashing secret: %w", err)
			}
			return newHasher("the local stack's hashing secret", string(secret))
		},
		sweep: func(ctx context.Context, dryRun bool) (*project.SweepReceipt, error) {
			client := lambda.New(lambda.Options{
				Region: "us-east-1", BaseEndpoint: &at.API,
				// The stack checks no signature, so none of the operator's own is made.
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
				}),
			})
			return invokeSweep(ctx, client, "CleanupFunction", dryRun)
		},
	}, nil
}

// invokeSweep sweeps by the stack's own function, wherever it is: it knows the
// limit that the stack was deployed with, and how to stop the work of what it
// fails. A sweep from here could judge by another limit than the tenants were
// promised.
func invokeSweep(ctx context.Context, client *lambda.Client, function string, dryRun bool) (*project.SweepReceipt, error) {
	payload, err := json.Marshal(map[string]bool{"dry_run": dryRun})
	if err != nil {
		panic(err) // a map of booleans always marshals
	}
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload}, func(o *lambda.Options) {
		// A sweep that went on after its answer was lost is not to be joined
		// by a second one.
		o.RetryMaxAttempts = 1
	})
	if err != nil {
		return nil, fmt.Errorf("invoking %s: %w", function, err)
	}
	if out.FunctionError != nil {
		return nil, fmt.Errorf("the sweep failed: %s: %s", *out.FunctionError, out.Payload)
	}
	var receipt project.SweepReceipt
	if err := json.Unmarshal(out.Payload, &receipt); err != nil || receipt.SweepID == "" {
		return nil, fmt.Errorf("%s answered with no receipt of a sweep: is it the cleanup function?", function)
	}
	return &receipt, nil
}
