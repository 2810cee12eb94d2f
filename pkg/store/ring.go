package store

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syncRing has the kernel sync files while no thread of ours waits in it: an
// io_uring (io_uring(7)) that tells by an eventfd when it is done, which the
// runtime's poller waits for as for a socket. A thread that waits in fdatasync
// costs more than the sync: for as long as there are such, Go's monitor looks
// every 20 µs whether to start another one in its place. One goroutine at a
// time may use it. nil stands for none: it waits in fdatasync.
type syncRing struct {
	fd        int
	rings     []byte // the queues' heads and tails, and what is done
	entries   []byte // what is to be done
	done      *os.File
	at        ringParams
	submitted uint32  // the queue's tail
	count     [8]byte // scratch
}

// ringParams is struct io_uring_params of linux/io_uring.h.
type ringParams struct {
	sqEntries, cqEntries, flags, sqCPU, sqIdle, features, workers uint32
	_                                                             [3]uint32
	sq                                                            struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// From linux/io_uring.h.
const (
	ringEntries      = 1
	ringOneMap       = 1 << 0 // IORING_FEAT_SINGLE_MMAP, Linux 5.4: both queues in one mapping
	ringMapQueues    = 0      // IORING_OFF_SQ_RING
	ringMapEntries   = 0x10000000
	ringRegisterDone = 4  // IORING_REGISTER_EVENTFD
	ringEntryBytes   = 64 // struct io_uring_sqe
	ringDoneBytes    = 16 // struct io_uring_cqe
	ringNop          = 0
	ringFsync        = 3
	ringDataSync     = 1 // IORING_FSYNC_DATASYNC
)

// openSyncRing makes one and tries it. It says why there can be none: an old
// kernel, kernel.io_uring_disabled, or a container's seccomp profile.
func openSyncRing() (*syncRing, error) {
	r := &syncRing{fd: -1}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, ringEntries, uintptr(unsafe.Pointer(&r.at)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r.fd = int(fd)
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *syncRing) open() error {
	if r.at.features&ringOneMap == 0 {
		return errors.New("io_uring of Linux before 5.4")
	}
	var err error
	size := max(r.at.sq.array+4*r.at.sqEntries, r.at.cq.cqes+ringDoneBytes*r.at.cqEntries)
	if r.rings, err = unix.Mmap(r.fd, ringMapQueues, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map an io_uring's queues: %w", err)
	}
	if r.entries, err = unix.Mmap(r.fd, ringMapEntries, int(ringEntryBytes*r.at.sqEntries), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map an io_uring's entries: %w", err)
	}
	done, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	r.done = os.NewFile(uintptr(done), "eventfd")
	told := int32(done)
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), ringRegisterDone, uintptr(unsafe.Pointer(&told)), 1, 0, 0); errno != 0 {
		return fmt.Errorf("io_uring_register: %w", errno)
	}
	if err := r.submit(ringNop, -1, 0); err != nil {
		return err
	}
	return r.wait()
}

// close gives everything back. Nothing may be under way.
func (r *syncRing) close() error {
	if r == nil {
		return nil
	}
	var errs []error
	if r.done != nil {
		errs = append(errs, r.done.Close())
	}
	for _, m := range [][]byte{r.rings, r.entries} {
		if m != nil {
			errs = append(errs, unix.Munmap(m))
		}
	}
	return errors.Join(append(errs, unix.Close(r.fd))...)
}

// sync is fdatasync(2) of an open file, with its errors.
func (r *syncRing) sync(fd int) error {
	if r == nil || r.submit(ringFsync, fd, ringDataSync) != nil {
		return fdatasync(fd)
	}
	return r.outcome(fd)
}

// outcome waits for the sync of a file. What the kernel had no worker for has not begun, and is made up for; what failed must
// not be tried again, for the second time it may succeed without the data.
func (r *syncRing) outcome(fd int) error {
	err := r.wait()
	if errors.Is(err, unix.ECANCELED) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		return fdatasync(fd)
	}
	return err
}

// submit hands one operation over. After an error the kernel knows nothing of it.
func (r *syncRing) submit(op byte, fd int, flags uint32) error {
	slot := r.submitted & *r.word(r.at.sq.mask)
	e := r.entries[ringEntryBytes*slot:][:ringEntryBytes]
	clear(e)
	e[0] = op
	*(*int32)(unsafe.Pointer(&e[4])) = int32(fd)
	*(*uint32)(unsafe.Pointer(&e[28])) = flags
	*r.word(r.at.sq.array + 4*slot) = slot
	r.submitted++
	atomic.StoreUint32(r.word(r.at.sq.tail), r.submitted)
	for {
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 0, 0, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == 0 && n == 1:
			return nil
		}
		r.submitted-- // it was not taken
		atomic.StoreUint32(r.word(r.at.sq.tail), r.submitted)
		return fmt.Errorf("io_uring_enter: %w", errno)
	}
}

// wait returns when what was submitted is done, with its error.
func (r *syncRing) wait() error {
	for {
		if _, err := r.done.Read(r.count[:]); err != nil {
			return fmt.Errorf("wait for a sync: %w", err)
		}
		head := *r.word(r.at.cq.head)
		if head == atomic.LoadUint32(r.word(r.at.cq.tail)) {
			continue
		}
		result := int32(*r.word(r.at.cq.cqes + ringDoneBytes*(head&*r.word(r.at.cq.mask)) + 8))
		atomic.StoreUint32(r.word(r.at.cq.head), head+1)
		if result < 0 {
			return unix.Errno(-result)
		}
		return nil
	}
}

// word is the word of the queues at a byte.
func (r *syncRing) word(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[at])) }

// fdatasync waits in the kernel.
func fdatasync(fd int) error {
	for {
		if err := unix.Fdatasync(fd); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
