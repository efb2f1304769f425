package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A box is a container made with nothing but the kernel: fresh PID, mount, UTS,
// IPC and network namespaces, and the machine's own root as the lower layer of
// an overlay, so that sshd, bash and the others are the real ones and nothing
// outside changes. Who is not root gets a user namespace on top.
//
//	box NAME [-e K=V]... [-rm PATH]... [-put PATH=FILE]... [-ro] [-pivot] [-exec FILE] [COMMAND...]
//
// runs init, or FILE, as PID 1 in the box NAME of the current directory, forwards TERM,
// INT and USR1 to it and ends with its exit code. What a box of the same name
// wrote is there again: this is stop and start.

// boxOptions is what stage two, in the namespaces, needs to know.
type boxOptions struct {
	dir      string // holds upper, work, root
	init     string
	env      []string
	remove   []string
	put      []string
	readOnly bool
	pivot    bool   // not only chroot, which keeps user namespaces from being made
	exec     string // instead of init
	command  []string
}

func parseBox(args []string) (boxOptions, error) {
	if len(args) == 0 {
		return boxOptions{}, errors.New("usage: box NAME [-e K=V]... [-rm PATH]... [-put PATH=FILE]... [-ro] [-pivot] [-exec FILE] [COMMAND...]")
	}
	dir, err := filepath.Abs(args[0])
	o := boxOptions{dir: dir, init: os.Getenv("INIT_UNDER_TEST"), exec: "/init"}
	for args = args[1:]; len(args) > 0 && strings.HasPrefix(args[0], "-") && !strings.HasPrefix(args[0], "--"); args = args[1:] {
		if args[0] == "-ro" || args[0] == "-pivot" {
			o.readOnly, o.pivot = o.readOnly || args[0] == "-ro", o.pivot || args[0] == "-pivot"
			continue
		}
		if len(args) < 2 {
			return o, fmt.Errorf("%s needs a value", args[0])
		}
		switch args[0] {
		case "-e":
			o.env = append(o.env, args[1])
		case "-rm":
			o.remove = append(o.remove, args[1])
		case "-put":
			o.put = append(o.put, args[1])
		case "-exec":
			o.exec, o.command = args[1], args[2:]
			return o, err
		default:
			return o, fmt.Errorf("unknown option %s", args[0])
		}
		args = args[1:]
	}
	o.command = args
	return o, err
}

// boxMain is the program box.
func boxMain() int {
	o, err := parseBox(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "box:", err)
		return 2
	}
	cmd, err := startBox(o, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "box:", err)
		return 2
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	_ = cmd.Wait()
	return exitCode(cmd)
}

func exitCode(cmd *exec.Cmd) int {
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// startBox returns once init has been exec'ed; its pid, as the outside sees it,
// is then in the file pid of the box.
func startBox(o boxOptions, args []string, stdin io.Reader, stdout, stderr io.Writer) (*exec.Cmd, error) {
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(o.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	execed, mark, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer execed.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "box-stage-two"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.ExtraFiles = []*os.File{mark}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.Env = append(os.Environ(), "BOX_STAGE=2")
	err = cmd.Start()
	mark.Close()
	if err != nil {
		return nil, err
	}
	if b, _ := io.ReadAll(execed); len(b) > 0 { // closed by exec, or a message
		_ = cmd.Wait()
		return nil, errors.New(string(b))
	}
	return cmd, os.WriteFile(filepath.Join(o.dir, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

// boxStageTwo runs as PID 1 of the new namespaces and becomes init.
func boxStageTwo() {
	o, err := parseBox(os.Args[1:])
	if err == nil {
		err = o.enter()
	}
	if err == nil {
		unix.CloseOnExec(3)
		env := append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, o.env...)
		err = syscall.Exec(o.exec, append([]string{o.exec}, o.command...), env)
	}
	os.NewFile(3, "mark").WriteString("entering the box: " + err.Error())
	os.Exit(2)
}

func (o boxOptions) enter() error {
	root := filepath.Join(o.dir, "root")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	if err := o.layRoot(root); err != nil {
		return err
	}
	if err := o.furnish(root); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	if o.readOnly {
		if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("making the root read-only: %w", err)
		}
	}
	if o.pivot {
		if err := errors.Join(os.Chdir(root), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH)); err != nil {
			return fmt.Errorf("changing the root: %w", err)
		}
		return os.Chdir("/")
	}
	if err := unix.Chroot(root); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	return os.Chdir("/")
}

// furnish gives the box what an engine gives: /proc, /dev with its nodes, init.
func (o boxOptions) furnish(root string) error {
	if err := unix.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", root+"/dev", "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mounting /dev: %w", err)
	}
	for _, n := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		node := filepath.Join(root, "dev", n)
		if err := os.WriteFile(node, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+n, node, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting /dev/%s: %w", n, err)
		}
	}
	if err := os.MkdirAll(root+"/dev/shm", 0o1777); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root+"/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("mounting /dev/shm: %w", err)
	}
	if err := o.hideUnits(root); err != nil {
		return err
	}
	files := append([]string{"/init=" + o.init}, o.put...)
	for _, f := range files {
		to, from, _ := strings.Cut(f, "=")
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if old, err := os.ReadFile(root + to); err == nil && bytes.Equal(old, b) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(root+to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(root+to, b, 0o755); err != nil {
			return err
		}
	}
	for _, path := range o.remove {
		_ = unix.Unmount(root+path, unix.MNT_DETACH) // only /dev's nodes are mounts
		err := os.RemoveAll(root + path)
		for range 100 { // the machine's own is below, where docker works beside the tests
			if err == nil {
				break
			}
			err = os.RemoveAll(root + path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hideUnits keeps the unit files of this machine out of the box: they are not
// those of an image, and a box would start the services that are enabled.
func (o boxOptions) hideUnits(root string) error {
	if err := unix.Mount("tmpfs", root+"/usr/lib/systemd/system", "tmpfs", 0, ""); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("hiding the unit files: %w", err)
	}
	mark := filepath.Join(o.dir, "own-units")
	if _, err := os.Stat(mark); err == nil {
		return nil // what is there now is the box's
	}
	for _, dir := range []string{"/etc/systemd/system", "/run/nix2vast"} { // the second is of an init that ran here
		if err := os.RemoveAll(root + dir); err != nil {
			return err
		}
	}
	return os.WriteFile(mark, nil, 0o644)
}

// layRoot puts the machine's root under an overlay. In a user namespace the
// kernel refuses that for a directory with mounts of others below it, which / is:
// there the box gets /usr as it is, and a copy of what can be read of /etc.
func (o boxOptions) layRoot(root string) error {
	if !inUserNamespace() {
		layers := fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%s/work", o.dir, o.dir)
		if err := unix.Mount("overlay", root, "overlay", 0, layers); err != nil {
			return fmt.Errorf("mounting the overlay: %w", err)
		}
		return nil
	}
	upper := o.dir + "/upper"
	if _, err := os.Stat(upper + "/usr"); err != nil {
		for _, d := range []string{"usr", "proc", "sys", "dev", "run", "var", "root", "tmp"} {
			if err := os.Mkdir(upper+"/"+d, 0o755); err != nil {
				return err
			}
		}
		for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
			if err := os.Symlink("usr/"+d, upper+"/"+d); err != nil {
				return err
			}
		}
		// cp fails for the files that only root may read, and copies the others.
		_ = exec.Command("cp", "-r", "/etc", upper+"/etc").Run()
	}
	if err := unix.Mount(upper, root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting the root: %w", err)
	}
	if err := unix.Mount("/usr", root+"/usr", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting /usr: %w", err)
	}
	return nil
}

func inUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Fields(string(b))[2] == "1"
}

func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
