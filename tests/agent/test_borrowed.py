"""A child that was forked while another thread of its parent had borrowed a setting of the process has it back."""
from tests.agent.test_fork import fork


def test_a_child_has_every_setting_as_the_program_has_it(tmp_path):
    """Garbage collection, the switch interval, the size of stacks; and the parent, when the thread goes on."""
    shown = fork(tmp_path, """
        import gc
        from klpfs.agent import c_functions
        from klpfs.cpython import no_collection
        threading.stack_size(1 << 20)
        interval, borrowed, go_on, was = sys.getswitchinterval(), threading.Event(), threading.Event(), c_functions.start_thread
        def start_thread(function, arguments):
            if function is not print:
                return was(function, arguments)
            borrowed.set()
            go_on.wait()
        def borrow():
            no_collection.hold()
            agent.thread._set_interval()
            c_functions.start_quiet_thread(print)
            agent.thread.take_back_interval()
            no_collection.let_go()
        def settings():
            until = time.monotonic() + 5        # a thread of klpfs's may be at work
            while sys.getswitchinterval() != interval and time.monotonic() < until:
                time.sleep(0.001)
            return [gc.isenabled(), sys.getswitchinterval() == interval, threading.stack_size()]
        c_functions.start_thread = start_thread
        c.until(lambda c: agent.prepared and agent.thread.idle)     # it borrows nothing, and gives nothing back
        thread = threading.Thread(target=borrow)
        thread.start()
        borrowed.wait()
        shown["meanwhile"] = [gc.isenabled(), sys.getswitchinterval() == interval]
        shown["child"] = in_child(settings)
        go_on.set()
        thread.join()
        shown["parent"] = settings()
    """, own_threads=True)
    assert shown["meanwhile"] == [False, False]
    assert shown["child"] == shown["parent"] == [True, True, 1 << 20]
