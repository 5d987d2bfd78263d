// Package mail delivers what Rekindle writes to its tenants: by Amazon SES in the
// cloud, into a folder and onto the console on a developer's machine.
package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"rekindle/internal/awsenv"
	"rekindle/internal/settings"
)

// ErrNoSender is a system that was deployed without an address to send from.
var ErrNoSender = errors.New("OTP_SENDER is empty: no mail can be sent; set the parameter OtpSender to a verified address")

// SES sends mail by Amazon SES.
type SES struct {
	client *sesv2.Client
	from   string // empty: every mail fails with [ErrNoSender]
}

// SESFrom makes a sender from OTP_SENDER, the address that mail comes from.
// While that is empty the rest of the system works and each mail is an error in
// the log; something that is no address is a problem noted at the reader.
func SESFrom(r *settings.Reader) *SES {
	from, _ := r.Lookup("OTP_SENDER")
	if from == "" {
		return &SES{}
	}
	if a, err := mail.ParseAddress(from); err != nil || a.Address != from {
		r.Note(fmt.Errorf("OTP_SENDER must be an address alone, such as login@example.com; it is %q", from))
		return nil
	}
	env, err := awsenv.Read(r.Lookup, "SESV2")
	if err != nil {
		r.Note(err)
		return nil
	}
	return &SES{from: from, client: sesv2.New(sesv2.Options{
		Region: env.Region, Credentials: env.Credentials, HTTPClient: env.HTTP, Retryer: env.Retryer, BaseEndpoint: env.Endpoint,
	})}
}

// Send hands a message to SES.
func (s *SES) Send(ctx context.Context, to, subject, text string) error {
	if s.from == "" {
		return ErrNoSender
	}
	utf8 := "UTF-8"
	_, err := s.client.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: &s.from,
		Destination:      &types.Destination{ToAddresses: []string{to}},
		Content: &types.EmailContent{Simple: &types.Message{
			Subject: &types.Content{Data: &subject, Charset: &utf8},
			Body:    &types.Body{Text: &types.Content{Data: &text, Charset: &utf8}},
		}},
	})
	if err != nil {
		return fmt.Errorf("sending a mail: %w", err)
	}
	return nil
}
