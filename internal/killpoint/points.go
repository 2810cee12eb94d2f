// Package killpoint names the instants at which the crash tests kill the
// relay: between two steps whose order matters for what survives.
//
// Without the build tag killpoints, At is an empty function that is inlined,
// and no environment variable has any effect. With it, PAWL_KILL=point:n in
// the environment makes the process kill itself with SIGKILL when it passes
// that point for the n-th time, and sizes and intervals can be made small
// enough for every point to be passed within a second.
package killpoint

// Point is one instant.
type Point string

// The instants, in the order of a sample's life and then of a start.
const (
	BeforeWrite      Point = "before-write"      // a group is about to be written to the journal
	WriteSync        Point = "write-sync"        // it is written and not synced
	SyncHead         Point = "sync-head"         // synced, and the head does not say so yet
	SyncAnswer       Point = "sync-answer"       // durable, and nobody has been answered
	AnswerApply      Point = "answer-apply"      // answered, and not applied to the series
	ApplySend        Point = "apply-send"        // applied, and not sent
	SendAnswer       Point = "send-answer"       // the upstream has it, and its answer is not noted
	RejectWrite      Point = "reject-write"      // refused for good, and not yet in the rejected store
	RejectSettle     Point = "reject-settle"     // in the rejected store, and not counted as settled
	DeliveredRename  Point = "delivered-rename"  // the note of what was delivered is written and not in place
	RotateFooter     Point = "rotate-footer"     // a segment has its footer, there is no next one
	RotateHead       Point = "rotate-head"       // the next segment is there, the head does not know it
	CheckpointBegin  Point = "checkpoint-begin"  // its series are copied, nothing is written
	CheckpointKey    Point = "checkpoint-key"    // some of its keys are handed to Badger
	CheckpointFlush  Point = "checkpoint-flush"  // all keys are written, it waits for the upstream
	CheckpointMarker Point = "checkpoint-marker" // its marker is written and not synced
	CheckpointSync   Point = "checkpoint-sync"   // synced, and the head names the one before
	CheckpointGood   Point = "checkpoint-good"   // declared good, the journal is not cut
	CutHead          Point = "cut-head"          // the journal's head has one of its two slots cut
	CutFiles         Point = "cut-files"         // the head is cut, the files are all there
	CutFile          Point = "cut-file"          // some of the files are gone
	RecoverJournal   Point = "recover-journal"   // a start: the journal is open, the series state is not
	RecoverTail      Point = "recover-tail"      // its last segment is read, and not written anew
	RecoverState     Point = "recover-state"     // the series state is open, nothing is loaded
	RecoverReplay    Point = "recover-replay"    // a record of before the start is about to be applied
	RecoverReady     Point = "recover-ready"     // the rules are in the journal, nobody has been told
)

// Points are all of them.
func Points() []Point {
	return []Point{
		BeforeWrite, WriteSync, SyncHead, SyncAnswer, AnswerApply, ApplySend, SendAnswer, RejectWrite, RejectSettle,
		DeliveredRename, RotateFooter, RotateHead,
		CheckpointBegin, CheckpointKey, CheckpointFlush, CheckpointMarker, CheckpointSync, CheckpointGood,
		CutHead, CutFiles, CutFile,
		RecoverJournal, RecoverTail, RecoverState, RecoverReplay, RecoverReady,
	}
}

// The variables of the environment that a test build obeys.
const (
	EnvKill       = "PAWL_KILL"             // point:n
	EnvCheckpoint = "PAWL_CHECKPOINT_EVERY" // a duration instead of the checkpoint interval
	EnvSegment    = "PAWL_SEGMENT_BYTES"    // instead of the size at which a segment is sealed
	EnvMemory     = "PAWL_MEMORY_BYTES"     // instead of each budget between senders and upstream
)
