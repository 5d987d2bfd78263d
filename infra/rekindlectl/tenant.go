package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// tenantView is a tenant as it is printed.
type tenantView struct {
	TenantID     string    `json:"tenant_id"`
	Name         string    `json:"name"`
	Slug         string    `json:"slug"`
	Email        string    `json:"email"`
	Subscription string    `json:"subscription_state"` // "none" where there is none
	TrialSlot    *slotView `json:"trial_slot,omitempty"`
}

// slotView names the execution that took the tenant's trial slot last. It counts
// only while that runs.
type slotView struct {
	ProjectID   string `json:"project_id"`
	ExecutionID int64  `json:"execution_id"`
}

func viewTenant(t *project.Tenant) tenantView {
	v := tenantView{t.ID, t.Name, t.Slug, t.Email, cmp.Or(string(t.Subscription), noSubscription), nil}
	if s := t.TrialSlot; s != nil {
		v.TrialSlot = &slotView{s.ProjectID, s.ExecutionID}
	}
	return v
}

func (a *app) printTenant(t *project.Tenant) error {
	v := viewTenant(t)
	rows := [][]string{{"tenant", v.TenantID}, {"name", v.Name}, {"slug", v.Slug}, {"email", v.Email}, {"subscription", v.Subscription}}
	if s := v.TrialSlot; s != nil {
		rows = append(rows, []string{"trial slot", s.ProjectID + ", execution " + strconv.FormatInt(s.ExecutionID, 10)})
	}
	return a.print(v, rows)
}

// tenantID is what a tenant's id can be. It stands in session tokens before a
// dot, and in the names of folders.
var tenantID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// checkTenant refuses a tenant that can't be created.
func checkTenant(t *project.Tenant) error {
	address, err := mail.ParseAddress(t.Email)
	slug, slugErr := project.ReadSlug(t.Slug)
	switch {
	case !tenantID.MatchString(t.ID):
		return usagef("--id: an id is 1 to 63 characters of a-z, 0-9, - and _, and begins with a letter or a digit; it is %q", t.ID)
	case slugErr != nil || slug != t.Slug:
		return usagef("--slug: a slug is 1 to 63 characters of a-z, 0-9 and -, and begins with a letter or a digit; it is %q", t.Slug)
	case t.Name == "" || utf8.RuneCountInString(t.Name) > project.MaxName || t.Name != oneLine(t.Name):
		return usagef("--name: a name is one line of 1 to %d characters; it is %q", project.MaxName, t.Name)
	case err != nil || address.Address != t.Email || len(t.Email) > 254:
		return usagef("--email: write an address alone, such as ops@example.com; it is %q", t.Email)
	}
	return nil
}

// noTenant turns a store's missing tenant into ours, with its id.
func noTenant(err error, id string) error {
	if errors.Is(err, dynamo.ErrNoTenant) {
		return notFoundf("there is no tenant %q", id)
	}
	return err
}

func (a *app) tenantCommand() *cobra.Command {
	return a.group("tenant", "Creates and shows tenants, and sets their subscriptions",
		a.tenantCreate(), a.tenantList(), a.tenantShow(), a.tenantSubscription())
}

func (a *app) tenantCreate() *cobra.Command {
	var (
		t     project.Tenant
		state subscription
	)
	c := &cobra.Command{
		Use: "create --id ID --name NAME --slug SLUG --email ADDRESS", Short: "Creates a tenant", Args: cobra.NoArgs,
		Long: `Creates a tenant. People sign in by its slug, with a code that is sent to its
e-mail address. Without --subscription it can't run projects yet.`,
		Example: `  rekindlectl --local tenant create --id acme --name "Acme Inc." --slug acme --email ops@acme.example --subscription trialing`,
		RunE: a.runWithStore(func(ctx context.Context, db store, _ []string) error {
			t.Name, t.Subscription = strings.TrimSpace(t.Name), project.Subscription(state)
			if err := checkTenant(&t); err != nil {
				return err
			}
			created, err := db.PutTenant(ctx, &t)
			if err != nil {
				return err
			}
			if !created {
				return whyTaken(ctx, db, &t)
			}
			return a.printTenant(&t)
		}),
	}
	c.Flags().StringVar(&t.ID, "id", "", "its id, for good")
	c.Flags().StringVar(&t.Name, "name", "", "its name, for people")
	c.Flags().StringVar(&t.Slug, "slug", "", "what it signs in by")
	c.Flags().StringVar(&t.Email, "email", "", "where its login codes go")
	c.Flags().Var(&state, "subscription", enumeration(subscriptionStates()))
	for _, name := range []string{"id", "name", "slug", "email"} {
		must(c.MarkFlagRequired(name))
	}
	must(c.RegisterFlagCompletionFunc("subscription", cobra.FixedCompletions(subscriptionStates(), cobra.ShellCompDirectiveNoFileComp)))
	return c
}

// whyTaken says which of a new tenant's names another one has.
func whyTaken(ctx context.Context, db store, t *project.Tenant) error {
	_, err := db.GetTenant(ctx, t.ID)
	switch {
	case errors.Is(err, dynamo.ErrNoTenant):
		return fmt.Errorf("the slug %q is another tenant's", t.Slug)
	case err != nil:
		return err
	}
	return fmt.Errorf("there is a tenant %q already", t.ID)
}

func (a *app) tenantList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Lists the tenants", Args: cobra.NoArgs,
		Long: "Lists the tenants by id. It reads the whole table of tenants and codes.",
		RunE: a.runWithStore(func(ctx context.Context, db store, _ []string) error {
			views := []tenantView{}
			for t, err := range db.ListTenants(ctx) {
				if err != nil {
					return err
				}
				views = append(views, viewTenant(t))
			}
			slices.SortFunc(views, func(x, y tenantView) int { return cmp.Compare(x.TenantID, y.TenantID) })
			rows := [][]string{{"TENANT", "SLUG", "SUBSCRIPTION", "NAME", "EMAIL"}}
			for _, v := range views {
				rows = append(rows, []string{v.TenantID, v.Slug, v.Subscription, v.Name, v.Email})
			}
			return a.print(views, rows)
		}),
	}
}

func (a *app) tenantShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Shows a tenant", Args: cobra.ExactArgs(1),
		RunE: a.runWithStore(func(ctx context.Context, db store, args []string) error {
			t, err := db.GetTenant(ctx, args[0])
			if err != nil {
				return noTenant(err, args[0])
			}
			return a.printTenant(t)
		}),
	}
}

func (a *app) tenantSubscription() *cobra.Command {
	return &cobra.Command{
		Use: "set-subscription ID STATE", Short: "Sets the state of a tenant's subscription", Args: cobra.ExactArgs(2),
		Long: "Sets the state of a tenant's subscription: " + enumeration(subscriptionStates()) + `.
Only active and trialing tenants can run projects. What is running goes on.`,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return subscriptionStates(), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: a.runWithStore(func(ctx context.Context, db store, args []string) error {
			var state subscription
			if err := state.Set(args[1]); err != nil {
				return usageError{err}
			}
			t, err := db.SetSubscription(ctx, args[0], project.Subscription(state))
			if err != nil {
				return noTenant(err, args[0])
			}
			return a.printTenant(t)
		}),
	}
}
