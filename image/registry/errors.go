package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode"

	remote "github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxMessage is how many bytes of a registry's complaint are read, and maxShown how many
// characters of it are shown.
const (
	maxMessage = 64 << 10
	maxShown   = 500
)

// refusal is an answer that is not the one hoped for.
type refusal struct {
	status int
	text   string // what the registry said of it
	resp   *http.Response
}

func (r *refusal) Error() string {
	s := fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
	if r.text != "" {
		s += ": " + r.text
	}
	return s
}

// refused reads and closes the answer.
func (t *transport) refused(resp *http.Response) *refusal {
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxMessage)) // what can be read of it helps, the rest is not missed
	return &refusal{status: resp.StatusCode, text: t.message(string(b)), resp: resp}
}

// message is a registry's complaint on one line, without what it was shown as a secret: there
// are registries that send back what they were sent.
func (t *transport) message(text string) string {
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal([]byte(text), &body) == nil && len(body.Errors) > 0 {
		text = ""
		for _, e := range body.Errors {
			text += strings.ToLower(e.Code) + " " + e.Message + " "
		}
	}
	text = t.hide(text) // all of it, before a part is cut off
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, ""), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if r := []rune(text); len(r) > maxShown {
		text = string(r[:maxShown]) + "…"
	}
	return text
}

// status is the status of a refusal, whoever saw it, or 0.
func status(err error) int {
	var own *refusal
	var theirs *remote.Error
	switch {
	case errors.As(err, &own):
		return own.status
	case errors.As(err, &theirs):
		return theirs.StatusCode
	}
	return 0
}

// explain makes an error a sentence with its cure: doing is what was being done.
func (c *client) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	host := c.repo.RegistryStr()
	var text string
	var done *explained
	switch code := status(err); {
	case errors.As(err, &done), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errLost):
		text = host + " forgets what it was sent: is its storage in order?"
	case c.login.Anonymous && (code == http.StatusUnauthorized || code == http.StatusForbidden):
		text = fmt.Sprintf("%s wants to know who you are, and there are no credentials for it: %s", host, waysToLogIn(host))
	case code == http.StatusUnauthorized:
		text = fmt.Sprintf("%s refused the credentials of %s: are they still valid? To use others, %s",
			host, c.login.From, waysToLogIn(host))
	case code == http.StatusForbidden:
		text = fmt.Sprintf("the credentials of %s may not do that in %s: ask its owner for the right to push", c.login.From, c.repo)
		if host == "ghcr.io" {
			text += ", and give the token the scope write:packages"
		}
	case code == http.StatusNotFound:
		text = fmt.Sprintf("%s knows no repository %s: is the name right? Some registries want it to be made by hand first",
			host, c.repo.RepositoryStr())
	case code == http.StatusRequestEntityTooLarge:
		text = fmt.Sprintf("%s, or a proxy before it, takes no blob of that size: raise its limit (nginx:"+
			" client_max_body_size), or set the plan's layers.part lower, so that large paths are split", host)
	case code == http.StatusTooManyRequests:
		text = fmt.Sprintf("%s has had enough requests for now: try again later, with a lower --jobs", host)
	default:
		text = network(host, err)
	}
	shown := c.base.message(err.Error())
	if text != "" {
		text, shown = text+" (", shown+")"
	}
	return &explained{c.base.hide(doing+": "+text) + shown, err}
}

// network is the sentence for what went wrong below HTTP, or "".
func network(host string, err error) string {
	var dns *net.DNSError
	switch text := err.Error(); {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no host " + host + ": is the registry's name right?"
	case strings.Contains(text, "certificate") || strings.Contains(text, "x509:"):
		return host + " shows a certificate that nobody known has signed: give its authority with --tls-ca FILE"
	case strings.Contains(text, "gave HTTP response to HTTPS client"):
		return host + " speaks plain HTTP only: say --allow-http if that is meant"
	case strings.Contains(text, "connection refused"):
		return "nobody answers at " + host + ": is the registry running, and the port right?"
	}
	return ""
}

// explained is an error for people, without secrets.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }
