package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// ErrNoTailnet is returned where the tailnet's program does not run.
var ErrNoTailnet = errors.New("no tailnet here: its service does not run; see: init status tailnet")

// tailnetRequest asks the tailnet's program, over its own socket.
func (cl Client) tailnetRequest(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	dir, err := runDir(cl.Root)
	if err != nil {
		return nil, err
	}
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("asking the tailnet: %w", err)
		}
	}
	return requestTo(ctx, filepath.Join(dir, wire.Socket), ErrNoTailnet, method, path, query, text)
}

// TailnetStatus is the status of the tailnet; nil where none is wanted.
func (cl Client) TailnetStatus(ctx context.Context) (*wire.Status, error) {
	st, err := cl.State(ctx)
	return st.Tailnet, err
}

// Peers are the other nodes of the tailnet; with ping each is asked how far it is.
func (cl Client) Peers(ctx context.Context, ping bool) (list []wire.Peer, err error) {
	query := url.Values{}
	if ping {
		query.Set("ping", "1")
	}
	resp, err := cl.tailnetRequest(ctx, http.MethodGet, "/peers", query, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("reading the list of peers: %w", err)
	}
	return list, nil
}

// loginPause is how often somebody who logs in is told what is new.
const loginPause = 100 * time.Millisecond

// TailnetLogin logs the box in: with a key, or by a URL that somebody opens. It calls seen with
// each status that is new, and returns once the box is in, the key was refused, or ctx ends.
func (cl Client) TailnetLogin(ctx context.Context, key Secret, seen func(wire.Status)) error {
	var body any
	if key != "" {
		body = map[string]string{"authKey": string(key)}
	}
	if err := cl.tailnetDo(ctx, "/login", body); err != nil {
		return err
	}
	tick := time.NewTicker(loginPause)
	defer tick.Stop()
	for last, began := "", time.Now(); ; {
		st, err := cl.TailnetStatus(ctx)
		if err != nil {
			return err
		}
		if st == nil {
			return ErrNoTailnet
		}
		if text := describeTailnet(*st); text != last {
			last = text
			seen(*st)
		}
		// What it was before the login may stand there for a moment more.
		settled := time.Since(began) > 2*time.Second
		switch {
		case st.State == wire.Running:
			return nil
		case key != "" && st.Reason == wire.BadKey && settled:
			return errors.New("the tailnet refuses the key")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the login: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// TailnetLogout takes the box out of its tailnet, until somebody logs it in again.
func (cl Client) TailnetLogout(ctx context.Context) error { return cl.tailnetDo(ctx, "/logout", nil) }

func (cl Client) tailnetDo(ctx context.Context, path string, body any) error {
	resp, err := cl.tailnetRequest(ctx, http.MethodPost, path, nil, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("reading the tailnet's answer: %w", err)
	}
	return nil
}

// CleanKey takes from a key what people put around it, or says why it is none.
func CleanKey(text string) (Secret, error) {
	key, problem := cleanKey("the key", Secret(text))
	if key == "" {
		return "", errors.New(problem)
	}
	return key, nil
}

// PeersText is a table of peers, for a person.
func PeersText(list []wire.Peer) string {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tADDRESS\tPATH\tRTT\tSENT\tRECEIVED")
	relayed := 0
	for _, p := range list {
		path := p.Path
		switch {
		case !p.Online:
			path = "offline"
		case p.Path == "":
			path = "-"
		case p.Via != "":
			path += " " + p.Via
		}
		if p.Online && p.Path == "relay" {
			relayed++
		}
		rtt := "-"
		if p.RTT > 0 {
			rtt = fmt.Sprintf("%.1fms", p.RTT)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Address, path, rtt, Bytes(p.Sent), Bytes(p.Received))
	}
	_ = t.Flush() // a buffer takes everything
	var text strings.Builder
	for line := range strings.Lines(b.String()) {
		text.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if relayed > 0 {
		fmt.Fprintf(&text, "\n%d of them are reached through a relay, which is slow: publish UDP port %d of the box, as -p %[2]d:%[2]d/udp does\n",
			relayed, wireGuardPort)
	}
	return text.String()
}
