#!/usr/bin/env escript
%% The four workloads as Erlang processes, and the memory of an idle one. One line a result: name, value, count.
%% usage: escript erlang.escript WARM_MS REPEATS IDLE NAME ITERATIONS SIZE ...
-mode(compile).

main([WarmMs, Repeats, Idle | Workloads]) ->
    Effort = {list_to_integer(WarmMs), list_to_integer(Repeats)},
    io:format("otp ~s ~b~n", [erlang:system_info(otp_release), erlang:system_info(schedulers)]),
    run(Effort, Workloads),
    io:format("bytes ~b ~s~n", [bytes(list_to_integer(Idle)), Idle]).

run(_, []) -> ok;
run(Effort, [Name, Iterations, Size | Rest]) ->
    {Once, Expected} = workload(Name, list_to_integer(Iterations), list_to_integer(Size)),
    {Rate, Count} = measure(Effort, Once),
    Count = Expected,
    io:format("~s ~f ~b~n", [Name, Rate, Count]),
    run(Effort, Rest).

workload("spawn", Iterations, Size) ->
    {fun() -> repeat(Iterations, fun() -> spawn_and_stop(Size) end) end, Iterations * Size};
workload("tell" ++ _, Iterations, Size) ->
    Counter = spawn(fun() -> counter(0) end),
    {fun() -> repeat(Iterations, fun() -> tells(Counter, Size) end) end, Iterations * Size};
workload("ask", Iterations, Size) ->
    Echo = spawn(fun echo/0),
    {fun() -> repeat(Iterations, fun() -> asks(Echo, Size, 0) end) end, Iterations * Size};
workload("ping-pong", Iterations, Size) ->
    Pong = spawn(fun pong/0),
    Ping = spawn(fun() -> ping(Pong) end),
    {fun() -> repeat(Iterations, fun() -> ask(Ping, {go, Size}) end) end, Iterations * Size}.

measure({WarmMs, Repeats}, Once) ->
    warm(Once, erlang:monotonic_time(millisecond) + WarmMs),
    Results = [timed(Once) || _ <- lists:seq(1, Repeats)],
    lists:nth((Repeats + 1) div 2, lists:sort(Results)).

warm(Once, Until) ->
    Once(),
    case erlang:monotonic_time(millisecond) < Until of
        true -> warm(Once, Until);
        false -> ok
    end.

timed(Once) ->
    Started = erlang:monotonic_time(nanosecond),
    Count = Once(),
    {Count * 1.0e9 / (erlang:monotonic_time(nanosecond) - Started), Count}.

repeat(Iterations, Run) -> lists:sum([Run() || _ <- lists:seq(1, Iterations)]).

spawn_and_stop(Size) ->
    Self = self(),
    Started = [spawn_monitor(fun() -> Self ! {started, self()}, receive stop -> ok end end)
               || _ <- lists:seq(1, Size)],
    [receive {started, Process} -> ok end || {Process, _} <- Started],
    [Process ! stop || {Process, _} <- Started],
    length([receive {'DOWN', Monitor, process, _, normal} -> ok end || {_, Monitor} <- Started]).

tells(Counter, Size) ->
    tell(Counter, Size),
    ask(Counter, read).

tell(_, 0) -> ok;
tell(Counter, Left) ->
    Counter ! {add, 1},
    tell(Counter, Left - 1).

asks(_, 0, Right) -> Right;
asks(Echo, Left, Right) ->
    <<"echo:hi">> = ask(Echo, <<"hi">>),
    asks(Echo, Left - 1, Right + 1).

%% What a call is made of: a reference, a message, a reply that is picked by the reference.
ask(Process, Message) ->
    Reference = make_ref(),
    Process ! {Message, self(), Reference},
    receive {Reference, Reply} -> Reply end.

counter(N) ->
    receive
        {add, By} -> counter(N + By);
        {read, From, Reference} -> From ! {Reference, N}, counter(0)
    end.

echo() ->
    receive {Text, From, Reference} -> From ! {Reference, <<"echo:", Text/binary>>}, echo() end.

ping(Pong) ->
    receive {{go, Exchanges}, From, Reference} -> From ! {Reference, volley(Pong, Exchanges, 0)} end,
    ping(Pong).

volley(_, 0, Done) -> Done;
volley(Pong, Left, Done) ->
    Pong ! {ball, self()},
    receive {ball, Pong} -> volley(Pong, Left - 1, Done + 1) end.

pong() ->
    receive {ball, From} -> From ! {ball, self()}, pong() end.

bytes(Count) ->
    Before = erlang:memory(processes),
    Idle = [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, Count)],
    Bytes = (erlang:memory(processes) - Before) div Count,
    [Process ! stop || Process <- Idle],
    Bytes.
