import { Exclude, Expose, plainToInstance, Transform, Type } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsInt,
  IsOptional,
  IsString,
  Matches,
  Max,
  Min,
  MinLength,
  ValidateNested,
  validateSync,
} from 'class-validator';
import { anything, array, assert, constantFrom, dictionary, integer, oneof, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quickly } from './quick-check.js';

class Base {
  @IsString()
  @MinLength(2)
  name!: string;
}

class Derived extends Base {
  @IsInt()
  @Min(1)
  @Max(3)
  count: number = 1;

  @IsArray()
  @ArrayMaxSize(2)
  @Matches(/^[a-c]+$/, { each: true })
  words!: string[];
}

class Optional {
  @IsOptional()
  @IsString()
  name?: string;
}

class Outer {
  @ValidateNested()
  inner!: Base;
}

class WithCondition {
  @IsString({ validateIf: (object: WithCondition) => object.asked })
  name!: unknown;
  asked = false;
}

class WithoutRules {
  name = 'x';
}

class LooseDefault {
  @IsString()
  name!: string;

  kind = 'x';
}

class WithGetter {
  get name(): string {
    return 'ab';
  }
}

class Trimmed {
  @IsString()
  @Transform(({ value }: { value: string }) => value.trim())
  name!: string;
}

class Typed {
  @IsString()
  @Type(() => String)
  name!: string;
}

class Renamed {
  @IsString()
  @Expose({ name: 'title' })
  name!: string;
}

class Excluded {
  @IsString()
  name!: string;

  @Exclude()
  secret?: string;
}

const STRICT = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: true };

describe('the quick way to an instance', () => {
  it('gives what class-transformer gives to that which class-validator accepts, and nothing else', () => {
    const value = oneof(string(), constantFrom('ab', 'ccc'), integer({ min: 0, max: 4 }), array(string()), anything());
    const field = constantFrom('name', 'count', 'words', 'more', 'constructor');
    const words = array(constantFrom('a', 'bc', 'd'), { maxLength: 3 });
    let valid = 0;
    assert(
      property(
        dictionary(field, oneof(value, words), { maxKeys: 4 }),
        constantFrom<new () => object>(Base, Derived),
        (plain, type) => {
          for (const strict of [false, true]) {
            const instance = plainToInstance(type, plain);
            const errors = validateSync(instance, strict ? STRICT : { forbidUnknownValues: true });
            const quick = quickly(type, plain, strict);
            const plainly = Object.entries(plain).every(([name, one]) => name !== 'constructor' && one !== undefined);
            const expected = quick !== undefined || (errors.length === 0 && plainly);
            expect(expected ? [quick, errors] : []).toEqual(expected ? [instance, []] : []);
            if (expected) valid += 1;
          }
        },
      ),
      { numRuns: 5000 },
    );
    expect(valid).toBeGreaterThan(10);
  });

  it('takes no prototype from data', () => {
    const plain = JSON.parse('{"name":"ab","__proto__":{"name":"evil","admin":true}}') as object;
    expect(quickly(Base, plain, true)).toBeUndefined();
    const instance = quickly(Base, plain, false)!;
    expect(Object.getPrototypeOf(instance)).toBe(Base.prototype);
    expect(instance).not.toHaveProperty('admin');
  });

  it('leaves to class-validator and class-transformer what is not a matter of one value as it stands', () => {
    for (const [type, plain] of [
      [Optional, {}],
      [Optional, { name: 1 }],
      [Outer, { inner: { name: 'ab' } }],
      [WithCondition, { name: 1, asked: true }],
      [WithoutRules, {}],
      [LooseDefault, { name: 'ab' }],
      [Base, new WithGetter()],
      [Trimmed, { name: ' ab ' }],
      [Typed, { name: 'ab' }],
      [Renamed, { name: 'ab' }],
      [Excluded, { name: 'ab' }],
    ] as const)
      expect(quickly(type as new () => object, plain, true)).toBeUndefined();
  });
});
