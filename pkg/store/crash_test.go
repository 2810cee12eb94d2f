package store

func childAppend(dir string) error     { return nil }
func childCheckpoint(dir string) error { return nil }
func childOpenState(dir string) error  { return nil }
