package boot

import (
	"bufio"
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
	conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, controlSocket))
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrNoInit, err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	req := &http.Request{
		Method: method, Host: "init", Header: http.Header{}, Close: true,
		URL: &url.URL{Scheme: "http", Host: "init", Path: path, RawQuery: query.Encode()},
	}
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("asking init: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, fmt.Errorf("reading init's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // what could be read is the message
		return nil, errors.New(strings.TrimSpace(string(text)))
	}
	return resp, nil
}

// Status writes the status to w, as JSON or for a person, and returns the phase.
// Where wait is not 0 it does so once boot is over, or that time has passed.
func (cl Client) Status(ctx context.Context, w io.Writer, asJSON bool, wait time.Duration) (Phase, error) {
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	if !asJSON {
		query.Set("text", "1")
	}
	resp, err := cl.request(ctx, http.MethodGet, "/v1/status", query)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return "", fmt.Errorf("copying init's answer: %w", err)
	}
	return Phase(resp.Header.Get(phaseHeader)), nil
}

// Change starts, stops or restarts services, once they have settled writes a
// line for each, and says whether all are as asked for.
func (cl Client) Change(ctx context.Context, verb string, names []string, w io.Writer) (good bool, err error) {
	resp, err := cl.request(ctx, http.MethodPost, "/v1/"+verb, url.Values{"name": names})
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	var list []services.Status
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return false, fmt.Errorf("reading init's answer: %w", err)
	}
	good = true
	for _, s := range list {
		switch {
		case verb == "stop":
			good = good && s.State == services.Stopped
		default:
			good = good && (s.State == services.Ready || s.State == services.Done)
		}
		if _, err := fmt.Fprintln(w, join(s.Name+": "+s.State.String(), s.Note)); err != nil {
			return false, fmt.Errorf("writing the result: %w", err)
		}
	}
	return good, nil
}

// Logs writes the latest n lines, 0 for all that is kept, of one service or, for
// "", of all, and with follow those to come until ctx ends.
func (cl Client) Logs(ctx context.Context, service string, n int, follow bool, w io.Writer) error {
	query := url.Values{"n": {strconv.Itoa(n)}}
	if service != "" {
		query.Set("service", service)
	}
	if follow {
		query.Set("follow", "1")
	}
	resp, err := cl.request(ctx, http.MethodGet, "/v1/logs", query)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var line services.Line
		if err := dec.Decode(&line); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("reading the log: %w", err)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("writing the log: %w", err)
		}
	}
}
