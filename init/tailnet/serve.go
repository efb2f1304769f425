package tailnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
)

// certDomain stands, in the file of TS_SERVE_CONFIG, for the name that certificates of this node
// are for, as in Tailscale's own container. The name is known only once the node is in its tailnet.
const certDomain = "${TS_CERT_DOMAIN}"

// maxServe is far above what a file of TS_SERVE_CONFIG needs, in bytes.
const maxServe = 1 << 20

// serving is what was made of the file of TS_SERVE_CONFIG. The zero value: nothing yet.
type serving struct {
	// applied are the text that the node was last given, with its name in it, and whether there
	// were certificates.
	applied string
	certs   bool
	// lacks is what of it could not be had, said the sentence that was logged last.
	lacks, said string
}

// offer brings what the node serves by name up to date with the file of TS_SERVE_CONFIG, which may
// change at any time, and says what is wrong with it. What somebody changed by hand meanwhile stays
// until the file or the name is another, or the node has logged in anew.
func (n *node) offer(ctx context.Context, st *ipnstate.Status) []string {
	if n.Config.ServeConfig == "" {
		return nil
	}
	var problem string
	text, err := readServe(filepath.Join(n.Root, n.Config.ServeConfig))
	switch {
	case err != nil:
		problem = n.unserved(err)
	case st.BackendState != ipn.Running.String():
		n.serve.applied = "" // a login makes another profile, which serves nothing
	default:
		problem = n.apply(ctx, string(text), st)
	}
	if problem != n.serve.said && ctx.Err() == nil {
		n.serve.said = problem
		if problem != "" {
			n.Log.Warn(problem)
		}
	}
	if problem == "" {
		return nil
	}
	return []string{problem}
}

// unserved is the sentence of a file that is not used.
func (n *node) unserved(err error) string {
	return fmt.Sprintf("TS_SERVE_CONFIG is not used: %s %v; what the box serves stays as it was", n.Config.ServeConfig, err)
}

// apply gives the node what the text says, where that is news.
func (n *node) apply(ctx context.Context, text string, st *ipnstate.Status) (problem string) {
	name, certs := nameOf(st)
	if name == "" && strings.Contains(text, certDomain) {
		return n.unserved(errors.New("has " + certDomain + ", and the tailnet gives this box no name"))
	}
	text = named(text, name)
	if text == n.serve.applied && certs == n.serve.certs {
		return n.serve.lacks
	}
	c, err := parseServe(text)
	if err != nil {
		return n.unserved(err)
	}
	lacks := ""
	if !certs {
		if ports := withoutCertificates(c); len(ports) > 0 {
			lacks = fmt.Sprintf("TS_SERVE_CONFIG: not served, for want of a certificate: %s; enable HTTPS in the admin console, under DNS", portList(ports))
		}
	}
	if err := n.lc.SetServeConfig(ctx, c); err != nil {
		return n.unserved(fmt.Errorf("is refused: %w", err))
	}
	n.serve.applied, n.serve.certs, n.serve.lacks = text, certs, lacks
	n.Log.Info("served to peers by name", zap.String("name", name), zap.String("ports", portList(slices.Sorted(maps.Keys(c.TCP)))))
	return lacks
}

// named puts the node's name where a file has the place for it.
func named(text, name string) string { return strings.ReplaceAll(text, certDomain, name) }

// nameOf is the name that certificates of the node are for. Where its tailnet has none it is that
// of MagicDNS, by which peers ask for what is served without.
func nameOf(st *ipnstate.Status) (name string, certs bool) {
	if len(st.CertDomains) > 0 && st.CertDomains[0] != "" {
		return st.CertDomains[0], true
	}
	if st.Self == nil {
		return "", false
	}
	return strings.TrimSuffix(st.Self.DNSName, "."), false
}

// readServe reads a file that can keep nobody busy: no pipe, no device, nothing endless.
func readServe(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	var why *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("does not exist")
	case errors.As(err, &why):
		return nil, fmt.Errorf("cannot be opened: %w", why.Err)
	case err != nil:
		return nil, fmt.Errorf("cannot be opened: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxServe+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	case len(text) > maxServe:
		return nil, fmt.Errorf("is larger than %d bytes", maxServe)
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("is empty")
	}
	return text, nil
}

// parseServe reads Tailscale's own form. A null in the place of a handler is refused: Tailscale
// would follow it at the first connection.
func parseServe(text string) (*ipn.ServeConfig, error) {
	c := new(ipn.ServeConfig)
	if err := json.Unmarshal([]byte(text), c); err != nil {
		return nil, fmt.Errorf("is not JSON in the form of Tailscale's ServeConfig: %w", err)
	}
	if at := null(c); at != "" {
		return nil, fmt.Errorf("has null at %s, where something to serve has to be", at)
	}
	return c, nil
}

// null is where a handler is missing, "" where none is.
func null(c *ipn.ServeConfig) string {
	if at := nullHandler(c.TCP, c.Web); at != "" {
		return at
	}
	for name, s := range c.Services {
		if s == nil {
			return "Services." + string(name)
		}
		if at := nullHandler(s.TCP, s.Web); at != "" {
			return "Services." + string(name) + "." + at
		}
	}
	for session, s := range c.Foreground {
		if s == nil {
			return "Foreground." + session
		}
		if at := null(s); at != "" {
			return "Foreground." + session + "." + at
		}
	}
	return ""
}

func nullHandler(tcp map[uint16]*ipn.TCPPortHandler, web map[ipn.HostPort]*ipn.WebServerConfig) string {
	for port, h := range tcp {
		if h == nil {
			return "TCP." + strconv.Itoa(int(port))
		}
	}
	for host, w := range web {
		if w == nil {
			return "Web." + string(host)
		}
		for path, h := range w.Handlers {
			if h == nil {
				return "Web." + string(host) + ".Handlers." + path
			}
		}
	}
	return ""
}

// withoutCertificates takes out the ports that cannot be served without one, and returns them.
func withoutCertificates(c *ipn.ServeConfig) (ports []uint16) {
	for port, h := range c.TCP {
		if h.HTTPS || h.TerminateTLS != "" {
			ports = append(ports, port)
			delete(c.TCP, port)
		}
	}
	slices.Sort(ports)
	of := func(at ipn.HostPort) bool {
		_, text, err := net.SplitHostPort(string(at))
		port, _ := strconv.ParseUint(text, 10, 16) // 0 is no port
		return err == nil && slices.Contains(ports, uint16(port))
	}
	maps.DeleteFunc(c.Web, func(at ipn.HostPort, _ *ipn.WebServerConfig) bool { return of(at) })
	maps.DeleteFunc(c.AllowFunnel, func(at ipn.HostPort, _ bool) bool { return of(at) })
	return ports
}

// portList are ports in a sentence.
func portList(ports []uint16) string {
	var texts []string
	for _, port := range ports {
		texts = append(texts, strconv.Itoa(int(port)))
	}
	return strings.Join(texts, ", ")
}
