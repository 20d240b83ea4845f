BEGIN TRANSACTION;
CREATE TABLE applied (
        licenses VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        PRIMARY KEY (licenses)
    );
INSERT INTO "applied" VALUES('fota 0642233522-00001','fota sha256:b6f5648083d262d79aee53fe3f9b932f0c52c1cbb1b5ca7df1072ce04387d52d');
CREATE TABLE approvals (
        id INTEGER NOT NULL,
        licenses VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        until DATE,
        place VARCHAR,
        run_id INTEGER NOT NULL,
        used_at VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(run_id) REFERENCES runs (id)
    );
INSERT INTO "approvals" VALUES(1,'fota 0642233522-00001','916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','closing','2099-01-01','inventory.yaml:17:5',4,'2026-11-23T11:13:07.907735Z',20);
CREATE TABLE approved_removals (
        approval_id INTEGER NOT NULL,
        device VARCHAR NOT NULL,
        PRIMARY KEY (approval_id, device),
        FOREIGN KEY(approval_id) REFERENCES approvals (id)
    ) WITHOUT ROWID
    ;
CREATE TABLE hard_failures (
        licenses VARCHAR NOT NULL,
        device VARCHAR NOT NULL,
        verb VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        words VARCHAR NOT NULL,
        service VARCHAR,
        failures INTEGER NOT NULL,
        first_at VARCHAR NOT NULL,
        last_at VARCHAR NOT NULL,
        until VARCHAR,
        mark VARCHAR NOT NULL,
        "group" VARCHAR,
        place VARCHAR,
        PRIMARY KEY (licenses, device)
    ) WITHOUT ROWID
    ;
INSERT INTO "hard_failures" VALUES('fota 0642233522-00001','350000000000998','assign','device-not-found','','Device Not Found.',3,'2026-11-23T11:12:55.600658Z','2026-11-23T11:13:03.853132Z','2026-11-23T12:13:03.853132Z','7f7615ed3ab64df8','meters','inventory.yaml:15:9');
CREATE TABLE managed (
        licenses VARCHAR NOT NULL,
        device VARCHAR NOT NULL,
        PRIMARY KEY (licenses, device)
    ) WITHOUT ROWID
    ;
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000204');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000212');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000220');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000238');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000246');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000253');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000261');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000279');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000287');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000295');
INSERT INTO "managed" VALUES('fota 0642233522-00001','350000000000998');
CREATE TABLE outcomes (
        id INTEGER NOT NULL,
        pool_run_id INTEGER NOT NULL,
        device VARCHAR NOT NULL,
        iccid VARCHAR,
        verb VARCHAR NOT NULL,
        outcome VARCHAR NOT NULL,
        reason VARCHAR,
        service VARCHAR,
        "group" VARCHAR,
        place VARCHAR,
        at VARCHAR NOT NULL,
        retry_at VARCHAR,
        in_flight BOOLEAN NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(pool_run_id) REFERENCES pool_runs (id)
    );
INSERT INTO "outcomes" VALUES(1,1,'350000000000998',NULL,'assign','rejected','device-not-found','Device Not Found.','meters','inventory.yaml:15:9','2026-11-23T11:12:55.600658Z',NULL,0);
INSERT INTO "outcomes" VALUES(2,2,'350000000000998',NULL,'assign','rejected','device-not-found','Device Not Found.','meters','inventory.yaml:15:9','2026-11-23T11:12:59.955703Z',NULL,0);
INSERT INTO "outcomes" VALUES(3,3,'350000000000998',NULL,'assign','rejected','device-not-found','Device Not Found.','meters','inventory.yaml:15:9','2026-11-23T11:13:03.853132Z',NULL,0);
INSERT INTO "outcomes" VALUES(4,4,'350000000000006',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.948716Z',NULL,0);
INSERT INTO "outcomes" VALUES(5,4,'350000000000014',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950812Z',NULL,0);
INSERT INTO "outcomes" VALUES(6,4,'350000000000022',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950831Z',NULL,0);
INSERT INTO "outcomes" VALUES(7,4,'350000000000030',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950840Z',NULL,0);
INSERT INTO "outcomes" VALUES(8,4,'350000000000048',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950848Z',NULL,0);
INSERT INTO "outcomes" VALUES(9,4,'350000000000055',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950857Z',NULL,0);
INSERT INTO "outcomes" VALUES(10,4,'350000000000063',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950874Z',NULL,0);
INSERT INTO "outcomes" VALUES(11,4,'350000000000071',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950883Z',NULL,0);
INSERT INTO "outcomes" VALUES(12,4,'350000000000089',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950898Z',NULL,0);
INSERT INTO "outcomes" VALUES(13,4,'350000000000097',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950907Z',NULL,0);
INSERT INTO "outcomes" VALUES(14,4,'350000000000105',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950914Z',NULL,0);
INSERT INTO "outcomes" VALUES(15,4,'350000000000113',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950920Z',NULL,0);
INSERT INTO "outcomes" VALUES(16,4,'350000000000121',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950926Z',NULL,0);
INSERT INTO "outcomes" VALUES(17,4,'350000000000139',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950932Z',NULL,0);
INSERT INTO "outcomes" VALUES(18,4,'350000000000147',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950937Z',NULL,0);
INSERT INTO "outcomes" VALUES(19,4,'350000000000154',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950942Z',NULL,0);
INSERT INTO "outcomes" VALUES(20,4,'350000000000162',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950947Z',NULL,0);
INSERT INTO "outcomes" VALUES(21,4,'350000000000170',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950952Z',NULL,0);
INSERT INTO "outcomes" VALUES(22,4,'350000000000188',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950957Z',NULL,0);
INSERT INTO "outcomes" VALUES(23,4,'350000000000196',NULL,'remove','done',NULL,'Success',NULL,NULL,'2026-11-23T11:13:07.950962Z',NULL,0);
CREATE TABLE pool_runs (
        id INTEGER NOT NULL,
        run_id INTEGER NOT NULL,
        pool VARCHAR NOT NULL,
        licenses VARCHAR NOT NULL,
        mode VARCHAR NOT NULL,
        reading VARCHAR NOT NULL,
        verdict VARCHAR,
        problem VARCHAR,
        read_at VARCHAR,
        total INTEGER,
        assigned INTEGER,
        free INTEGER,
        waiting INTEGER NOT NULL,
        counts JSON NOT NULL,
        held JSON NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(run_id) REFERENCES runs (id)
    );
INSERT INTO "pool_runs" VALUES(1,1,'fota','fota 0642233522-00001','full','whole','refused',NULL,'2026-11-23T11:12:55.565533Z',40,30,10,0,'{"done": 0, "kept": 10, "held": 20, "pending": 0, "rejected": 1, "failed": 0, "unknown": 0, "foreign": 20}','{"refused": 20}');
INSERT INTO "pool_runs" VALUES(2,2,'fota','fota 0642233522-00001','full','whole','refused',NULL,'2026-11-23T11:12:59.925414Z',40,30,10,0,'{"done": 0, "kept": 10, "held": 20, "pending": 0, "rejected": 1, "failed": 0, "unknown": 0, "foreign": 20}','{"refused": 20}');
INSERT INTO "pool_runs" VALUES(3,3,'fota','fota 0642233522-00001','full','whole','refused',NULL,'2026-11-23T11:13:03.817662Z',40,30,10,0,'{"done": 0, "kept": 10, "held": 20, "pending": 0, "rejected": 1, "failed": 0, "unknown": 0, "foreign": 20}','{"refused": 20}');
INSERT INTO "pool_runs" VALUES(4,4,'fota','fota 0642233522-00001','full','whole','done',NULL,'2026-11-23T11:13:07.896280Z',40,30,10,0,'{"done": 20, "kept": 10, "held": 1, "pending": 0, "rejected": 0, "failed": 0, "unknown": 0, "foreign": 20}','{"quarantined": 1}');
CREATE TABLE refusals (
        id INTEGER NOT NULL,
        pool_run_id INTEGER NOT NULL,
        rule VARCHAR NOT NULL,
        setting FLOAT,
        "limit" INTEGER NOT NULL,
        asked INTEGER NOT NULL,
        digest VARCHAR NOT NULL,
        next_step VARCHAR NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(pool_run_id) REFERENCES pool_runs (id)
    );
INSERT INTO "refusals" VALUES(1,1,'percent',10.0,5,20,'916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','20 removals from pool fota: more than the 5 that removals.percent allows of this pool''s devices. If they are not meant, mend the inventory; if they are, add to approvals: in the inventory {refusal: "916bcc5a799fd270", reason: …, until: …}, or let exactly these pass once with: licensesync apply --pool fota --allow-removals 916bcc5a799fd270');
INSERT INTO "refusals" VALUES(2,2,'percent',10.0,5,20,'916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','20 removals from pool fota: more than the 5 that removals.percent allows of this pool''s devices. If they are not meant, mend the inventory; if they are, add to approvals: in the inventory {refusal: "916bcc5a799fd270", reason: …, until: …}, or let exactly these pass once with: licensesync apply --pool fota --allow-removals 916bcc5a799fd270');
INSERT INTO "refusals" VALUES(3,3,'percent',10.0,5,20,'916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','20 removals from pool fota: more than the 5 that removals.percent allows of this pool''s devices. If they are not meant, mend the inventory; if they are, add to approvals: in the inventory {refusal: "916bcc5a799fd270", reason: …, until: …}, or let exactly these pass once with: licensesync apply --pool fota --allow-removals 916bcc5a799fd270');
CREATE TABLE removal_sets (
        digest VARCHAR NOT NULL,
        device VARCHAR NOT NULL,
        PRIMARY KEY (digest, device)
    ) WITHOUT ROWID
    ;
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000006');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000014');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000022');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000030');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000048');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000055');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000063');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000071');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000089');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000097');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000105');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000113');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000121');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000139');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000147');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000154');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000162');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000170');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000188');
INSERT INTO "removal_sets" VALUES('916bcc5a799fd2700d47ea6baa4261d44a1dc8a4276199adee3fd6fa94e6bc83','350000000000196');
CREATE TABLE runs (
        id INTEGER NOT NULL,
        run VARCHAR NOT NULL,
        command VARCHAR NOT NULL,
        started_at VARCHAR NOT NULL,
        finished_at VARCHAR,
        verdict VARCHAR,
        exit INTEGER,
        "commit" VARCHAR,
        dirty BOOLEAN NOT NULL,
        devices INTEGER NOT NULL,
        digest VARCHAR NOT NULL,
        "plan" VARCHAR,
        PRIMARY KEY (id),
        UNIQUE (run)
    );
INSERT INTO "runs" VALUES(1,'20261123T111255Z-e7c2ff','apply','2026-11-23T11:12:55.401024Z','2026-11-23T11:12:55.621125Z','refused',3,NULL,0,11,'sha256:4c30a634e4de29500834181ba6e6829e16e143c528c184299ea513899a44767a','sha256:a7115052870888527e67070c81169dcdf1345488419838dbe72db214ad2e096d');
INSERT INTO "runs" VALUES(2,'20261123T111259Z-531f7f','apply','2026-11-23T11:12:59.809365Z','2026-11-23T11:12:59.967784Z','refused',3,NULL,0,11,'sha256:4c30a634e4de29500834181ba6e6829e16e143c528c184299ea513899a44767a','sha256:a7115052870888527e67070c81169dcdf1345488419838dbe72db214ad2e096d');
INSERT INTO "runs" VALUES(3,'20261123T111303Z-f7e57b','apply','2026-11-23T11:13:03.678580Z','2026-11-23T11:13:03.869455Z','refused',3,NULL,0,11,'sha256:4c30a634e4de29500834181ba6e6829e16e143c528c184299ea513899a44767a','sha256:a7115052870888527e67070c81169dcdf1345488419838dbe72db214ad2e096d');
INSERT INTO "runs" VALUES(4,'20261123T111307Z-062d31','apply','2026-11-23T11:13:07.771644Z','2026-11-23T11:13:07.973924Z','done',0,NULL,0,11,'sha256:b6f5648083d262d79aee53fe3f9b932f0c52c1cbb1b5ca7df1072ce04387d52d','sha256:201667abd6f4c1a72a211e96d884eaa478e03447f8c5c8e1b90391d306d2b8bc');
CREATE INDEX ix_runs_started_at ON runs (started_at);
CREATE INDEX ix_approvals_licenses ON approvals (licenses);
CREATE INDEX ix_pool_runs_run_id ON pool_runs (run_id);
CREATE INDEX pool_runs_by_licenses ON pool_runs (licenses, id);
CREATE INDEX ix_outcomes_at ON outcomes (at);
CREATE INDEX outcomes_by_device ON outcomes (device, id);
CREATE INDEX outcomes_by_run ON outcomes (pool_run_id, device);
CREATE INDEX outcomes_by_iccid ON outcomes (iccid, id) WHERE iccid IS NOT NULL;
CREATE INDEX outcomes_unsettled ON outcomes (pool_run_id)
    WHERE outcome IN ('unknown', 'pending') OR retry_at IS NOT NULL
    ;
CREATE INDEX ix_refusals_pool_run_id ON refusals (pool_run_id);
COMMIT;
PRAGMA user_version = 1;
