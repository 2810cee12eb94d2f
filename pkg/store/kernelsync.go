package store

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelSync has the kernel sync files while no thread of ours waits in it:
// Linux' asynchronous I/O (io_submit(2), IOCB_CMD_FDSYNC of Linux 4.18), which tells by
// an eventfd when it is done, and that the runtime's poller waits for as for a
// socket. A thread that waits in fdatasync keeps its processor from all others until
// Go's monitor takes it away. One goroutine at a time may use it. nil stands for none: it waits in fdatasync.
type kernelSync struct {
	context uintptr
	done    *os.File
	what    [1]*aioRequest
	event   aioEvent
	count   [8]byte // scratch
}

// aioRequest is struct iocb of linux/aio_abi.h.
type aioRequest struct {
	_        uint64 // comes back in the event
	_        uint64 // key and flags of reads and writes
	op       uint16
	_        int16
	fd       uint32
	_        [3]uint64 // buffer, length, offset
	_        uint64
	flags    uint32
	notifyFD uint32
}

// aioEvent is struct io_event.
type aioEvent struct {
	_, _   uint64
	result int64
	_      int64
}

// From linux/aio_abi.h.
const (
	aioDataSync = 3 // IOCB_CMD_FDSYNC
	aioNotify   = 1 // IOCB_FLAG_RESFD
)

// openKernelSync makes one. It says why there can be none: a kernel without, or fs.aio-max-nr.
func openKernelSync() (*kernelSync, error) {
	k := &kernelSync{what: [1]*aioRequest{new(aioRequest)}}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, uintptr(len(k.what)), uintptr(unsafe.Pointer(&k.context)), 0); errno != 0 {
		return nil, fmt.Errorf("io_setup: %w", errno)
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), k.close())
	}
	k.done = os.NewFile(uintptr(fd), "eventfd")
	*k.what[0] = aioRequest{op: aioDataSync, flags: aioNotify, notifyFD: uint32(fd)}
	return k, nil
}

// close gives everything back. Nothing may be under way.
func (k *kernelSync) close() error {
	if k == nil {
		return nil
	}
	var err error
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, k.context, 0, 0); errno != 0 {
		err = fmt.Errorf("io_destroy: %w", errno)
	}
	if k.done != nil {
		err = errors.Join(err, k.done.Close())
	}
	return err
}

// sync is fdatasync(2) of an open file, with its errors. What failed is not
// tried again, for the second time it may succeed without the data.
func (k *kernelSync) sync(fd int) error {
	if k == nil {
		return fdatasync(fd)
	}
	k.what[0].fd = uint32(fd)
	if n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, k.context, uintptr(len(k.what)), uintptr(unsafe.Pointer(&k.what))); errno != 0 || n == 0 {
		return fdatasync(fd) // it was not taken
	}
	return k.wait()
}

// wait returns when what was submitted is done, with its error.
func (k *kernelSync) wait() error {
	for {
		if _, err := k.done.Read(k.count[:]); err != nil {
			return fmt.Errorf("wait for a sync: %w", err)
		}
		var at unix.Timespec // do not wait
		n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, k.context, 1, 1, uintptr(unsafe.Pointer(&k.event)), uintptr(unsafe.Pointer(&at)), 0)
		switch {
		case errno == unix.EINTR, errno == 0 && n == 0:
			continue
		case errno != 0:
			return fmt.Errorf("io_getevents: %w", errno)
		}
		return k.event.err()
	}
}

// err is the error of what was done.
func (e aioEvent) err() error {
	if e.result < 0 {
		return unix.Errno(-e.result)
	}
	return nil
}

// fdatasync waits in the kernel.
func fdatasync(fd int) error {
	for {
		if err := unix.Fdatasync(fd); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
