package boot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fleek-platform/nix2vast/services"
)

// ErrNoInit is returned when no init answers in this container.
var ErrNoInit = errors.New("no init answers here: none was started, or it has ended")

// RefusalError is an answer of init that is none to what was asked.
type RefusalError struct {
	Code int // of HTTP: 404 for a service that does not exist, 403 for who may not
	Text string
}

func (e *RefusalError) Error() string { return e.Text }

// Client asks the init of this container.
type Client struct{ Root string }

// request sends one request and returns its body. It speaks HTTP over one
// connection of its own, without a transport and its goroutines: every health
// probe pays for this.
func (cl Client) request(ctx context.Context, method, path string, query url.Values) (*http.Response, error) {
	dir, err := runDir(cl.Root)
	if err != nil {
		return nil, err
	}
	return requestTo(ctx, filepath.Join(dir, controlSocket), ErrNoInit, method, path, query, nil)
}

// requestTo sends a request to a socket; absent is the error where nobody answers there.
func requestTo(ctx context.Context, socket string, absent error, method, path string, query url.Values, body []byte) (*http.Response, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", absent, err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	req := &http.Request{
		Method: method, Host: "init", Header: http.Header{}, Close: true,
		URL: &url.URL{Scheme: "http", Host: "init", Path: path, RawQuery: query.Encode()},
	}
	if len(body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("asking %s: %w", filepath.Base(socket), err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", filepath.Base(socket), err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what could be read is the message
		return nil, &RefusalError{resp.StatusCode, strings.TrimSpace(string(text))}
	}
	return resp, nil
}

// ask is a request whose answer is JSON.
func ask[T any](ctx context.Context, cl Client, method, path string, query url.Values) (answer T, err error) {
	resp, err := cl.request(ctx, method, path, query)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return answer, fmt.Errorf("reading init's answer: %w", err)
	}
	return answer, nil
}

// copied is a request whose answer is for w as it is. It returns the phase that
// an answer about the status tells.
func (cl Client) copied(ctx context.Context, w io.Writer, path string, query url.Values) (Phase, error) {
	resp, err := cl.request(ctx, http.MethodGet, path, query)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil && ctx.Err() == nil {
		return "", fmt.Errorf("copying init's answer: %w", err)
	}
	return Phase(resp.Header.Get(phaseHeader)), nil
}

// StatusQuery says what to tell of the status, and when.
type StatusQuery struct {
	Names []string      // of services; none: of everything
	JSON  bool          // instead of text for a person
	Wait  time.Duration // until boot is over, for so long at most
	Width int           // of a line of text, in columns; 0: no limit
}

// Status writes the status to w and returns the phase: of the services named, else
// of the container.
func (cl Client) Status(ctx context.Context, w io.Writer, q StatusQuery) (Phase, error) {
	query := url.Values{"name": q.Names}
	if q.Wait > 0 {
		query.Set("wait", q.Wait.String())
	}
	if q.Width > 0 {
		query.Set("width", strconv.Itoa(q.Width))
	}
	if !q.JSON {
		query.Set("text", "1")
	}
	return cl.copied(ctx, w, "/v1/status", query)
}

// Watch calls seen with the status now and at each change, until ctx ends or init does.
func (cl Client) Watch(ctx context.Context, names []string, seen func(Status) error) error {
	resp, err := cl.request(ctx, http.MethodGet, "/v1/status", url.Values{"watch": {"1"}, "name": names})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var st Status
		if err := dec.Decode(&st); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watching the status: %w", err)
		}
		if err := seen(st); err != nil {
			return err
		}
	}
}

// LogQuery says which lines of the log to show.
type LogQuery struct {
	Names  []string // of services; none: of all
	N      int      // the latest so many; less than 0: all that is kept
	Since  string   // a time span before now, or a time; "" for all
	Follow bool     // go on with those to come
	JSON   bool
}

// Logs writes lines of the log to w, with Follow until ctx ends.
func (cl Client) Logs(ctx context.Context, w io.Writer, q LogQuery) error {
	query := url.Values{"name": q.Names}
	if q.N >= 0 {
		query.Set("n", strconv.Itoa(q.N))
	}
	if q.Since != "" {
		query.Set("since", q.Since)
	}
	if q.Follow {
		query.Set("follow", "1")
	}
	if !q.JSON {
		query.Set("text", "1")
	}
	_, err := cl.copied(ctx, w, "/v1/logs", query)
	return err
}

// Cat writes the definitions of services to w.
func (cl Client) Cat(ctx context.Context, w io.Writer, names []string) error {
	_, err := cl.copied(ctx, w, "/v1/cat", url.Values{"name": names})
	return err
}

// Outcome is where services stand after a change.
type Outcome []services.Status

// Change starts, stops, restarts or reloads services, by the verb of that name,
// and says where they stand once they have settled, or with wait false at once.
func (cl Client) Change(ctx context.Context, verb string, names []string, wait bool) (Outcome, error) {
	return ask[Outcome](ctx, cl, http.MethodPost, "/v1/"+verb, waiting(url.Values{"name": names}, wait))
}

// Kill sends a signal, by name or number, to the processes of services.
func (cl Client) Kill(ctx context.Context, signal string, names []string) error {
	_, err := ask[Outcome](ctx, cl, http.MethodPost, "/v1/kill", url.Values{"name": names, "signal": {signal}})
	return err
}

// Reload reads the definitions of all services again.
func (cl Client) Reload(ctx context.Context) (Reloaded, error) {
	return ask[Reloaded](ctx, cl, http.MethodPost, "/v1/reload", nil)
}

// Enable installs unit files, given by their absolute paths, and has them and the
// named units started at each boot; with now also now.
func (cl Client) Enable(ctx context.Context, names, files []string, now, wait bool) (Enabled, error) {
	query := url.Values{"name": names, "file": files}
	if now {
		query.Set("now", "1")
	}
	return ask[Enabled](ctx, cl, http.MethodPost, "/v1/enable", waiting(query, wait))
}

// Disable keeps units from being started at boot; with now it also stops them.
func (cl Client) Disable(ctx context.Context, names []string, now, wait bool) (Enabled, error) {
	query := url.Values{"name": names}
	if now {
		query.Set("now", "1")
	}
	return ask[Enabled](ctx, cl, http.MethodPost, "/v1/disable", waiting(query, wait))
}

// Mask keeps units from being started by anybody; with now it also stops them.
func (cl Client) Mask(ctx context.Context, names []string, now, wait bool) (Enabled, error) {
	query := url.Values{"name": names}
	if now {
		query.Set("now", "1")
	}
	return ask[Enabled](ctx, cl, http.MethodPost, "/v1/mask", waiting(query, wait))
}

// Unmask undoes Mask, and starts nothing.
func (cl Client) Unmask(ctx context.Context, names []string) (Enabled, error) {
	return ask[Enabled](ctx, cl, http.MethodPost, "/v1/unmask", url.Values{"name": names})
}

func waiting(query url.Values, wait bool) url.Values {
	if !wait {
		query.Set("wait", "0")
	}
	return query
}

// Units returns services as systemctl sees them; all of them for no names.
func (cl Client) Units(ctx context.Context, names []string) ([]Unit, error) {
	return ask[[]Unit](ctx, cl, http.MethodGet, "/v1/show", url.Values{"name": names})
}

// UnitFiles returns all services, and the units that there are files of.
func (cl Client) UnitFiles(ctx context.Context) ([]Unit, error) {
	return ask[[]Unit](ctx, cl, http.MethodGet, "/v1/show", url.Values{"files": {"1"}})
}

// State returns the status as data.
func (cl Client) State(ctx context.Context) (Status, error) {
	return ask[Status](ctx, cl, http.MethodGet, "/v1/status", nil)
}

// Top measures for the span given what the services use.
func (cl Client) Top(ctx context.Context, span time.Duration) (Top, error) {
	return ask[Top](ctx, cl, http.MethodGet, "/v1/top", url.Values{"span": {span.String()}})
}

// Nearest is that of package services, for the verbs of the client.
func Nearest(word string, known []string) string { return services.Nearest(word, known) }

// Good says whether services are where a verb was to bring them.
func (o Outcome) Good(verb string) bool {
	for _, s := range o {
		good := s.State == services.Ready || s.State == services.Done
		if verb == "stop" || verb == "disable" {
			good = s.State == services.Stopped
		}
		if verb == "reload" {
			good = s.State == services.Ready && s.ReloadFailure == ""
		}
		if !good {
			return false
		}
	}
	return true
}

// String is a line for each service.
func (o Outcome) String() string {
	var b strings.Builder
	for _, s := range o {
		b.WriteString(join(s.Name+": "+s.State.String(), s.Note) + "\n")
	}
	return b.String()
}
